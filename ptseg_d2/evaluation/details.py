"""What a report shows beside the means: the scores of every image and the confusion matrix, as JSON values."""

from __future__ import annotations

from typing import Any

from ptseg_d2.evaluation.confidence import or_none
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.evaluation.per_image_scores import PerImageScores
from ptseg_d2.evaluation.scores import Scores
from ptseg_d2.evaluation.semantic_iou import ConfusionMatrix


def evaluation_details(scores: Scores) -> dict[str, Any]:
    """Sections "panoptic" and "semantic", whichever was evaluated; images in the order of their ids.

    Returns:
        {"panoptic": {"images": [{"image_id", "file_name", "PQ", "TP", "FP", "FN"}]},
        "semantic": {"class_names": C, "confusion": C lists of C + 1 pixel counts, one list for each true class, the
        last count for predictions of no class, "images": [{"image_id", "file_name", "mIoU"}]}}. The score of an image
        is that of a data set of this image alone, in percent, None if nothing occurs in it.
    """
    details: dict[str, dict[str, Any]] = {}
    if len(scores.panoptic.entries):
        details["panoptic"] = {"images": _panoptic_images(scores.panoptic)}
    if len(scores.semantic.entries):
        details["semantic"] = {
            "class_names": list(scores.semantic.class_names),
            "confusion": scores.semantic.counts.tolist(),
            "images": _semantic_images(scores.semantic),
        }
    return details


def _panoptic_images(quality: PanopticQuality) -> list[dict[str, Any]]:
    counts = quality.image_counts()
    pq = quality.means(counts)["PQ"]
    totals = {
        "TP": counts.true_positives.sum(axis=-1),
        "FP": counts.false_positives.sum(axis=-1),
        "FN": counts.false_negatives.sum(axis=-1),
    }
    return [
        {**name, "PQ": or_none(pq[i]), **{key: int(total[i]) for key, total in totals.items()}}
        for i, name in enumerate(_names(quality.entries))
    ]


def _semantic_images(matrix: ConfusionMatrix) -> list[dict[str, Any]]:
    iou = matrix.means(matrix.image_counts())["mIoU"]
    return [{**name, "mIoU": or_none(iou[i])} for i, name in enumerate(_names(matrix.entries))]


def _names(entries: PerImageScores) -> list[dict[str, str]]:
    """Keys are (image_id, file_name), see `Scores.add`."""
    return [{"image_id": key[0], "file_name": key[1]} for key in entries.keys() if isinstance(key, tuple)]
