"""Instance masks that guide the semantic pseudo labels of a next round ([thesis], section 9.5).

`<folder>/index.json` lists, by image id, a file: an 8-bit PNG at the image's size, see `guidance_map`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.classes.tables import VOID
from ptseg_d2.counting import number_of
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.image_files import write_png
from ptseg_d2.data.labels import read_labels
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.errors import RecipeError
from ptseg_d2.inference.panoptic_model import find_instances
from ptseg_d2.pseudo_labels.guidance import guidance_map
from ptseg_d2.recipe.models import StageModels
from ptseg_d2.recipe.rounds import Round, runs_of_round
from ptseg_d2.runs.image_folders import each_readable, reads_labels, replaced_folder
from ptseg_d2.runs.lock import only_here

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from numpy.typing import NDArray

Guide = Callable[[Mapping[str, Any]], NDArray[np.uint8]]
"""Entry of the target -> (H, W) of `guidance_map`."""


def prepare_guidance(cfg: CfgNode, models: StageModels, last: Round, guidance: str) -> None:
    """Make the masks that guide the semantic stage of a round, unless they are there.

    Args:
        cfg: the config the user asked for.
        models: of its stages.
        last: the round before, finished.
        guidance: index.json of the masks; "" = none are asked for.
    """
    if not guidance:
        return
    index = Path(guidance)
    from_labels = reads_labels(guidance)
    made_from = _oracle_settings(cfg) if from_labels else _predicted_settings(last)
    if comm.is_main_process() and not _is_current(index, made_from):
        dicts = load_dataset(cfg.DATASETS.TARGET, "DATASETS.TARGET")
        folder = index.parents[1]
        with only_here(folder):
            write_guidance(dicts, oracle_guide(cfg) if from_labels else predicted_guide(models, last), index, made_from)
    comm.synchronize()


def _predicted_settings(last: Round) -> dict[str, Any]:
    options = last.instance.cfg.EVAL
    return {"runs": runs_of_round(last), "instances": [options.OPENING, options.CLOSING]}


def _oracle_settings(cfg: CfgNode) -> dict[str, Any]:
    options = cfg.RECIPE
    return {"labels": options.ORACLE_GUIDANCE, "share": options.ORACLE_GUIDANCE_SHARE, "seed": cfg.SEED}


def _is_current(index: Path, made_from: Mapping[str, Any]) -> bool:
    return index.exists() and json.loads(index.read_text(encoding="utf-8"))["made_from"] == made_from


@torch.no_grad()
def write_guidance(
    dataset_dicts: Sequence[Mapping[str, Any]], guide: Guide, index: Path, made_from: Mapping[str, Any]
) -> None:
    """Write the guidance of all images into the folder of `index`, which appears only when it is complete.

    Args:
        dataset_dicts: Detectron2's list of images.
        guide: makes the map of one; images that it cannot read are left out.
        index: file to write.
        made_from: kept in it, to know when it is out of date.
    """
    images: dict[str, dict[str, str]] = {}
    skipped: list[str] = []
    with replaced_folder(index.parent) as partial:
        readable = each_readable(dataset_dicts, guide, "instances that guide", skipped)
        for number, (image_id, values) in enumerate(readable):
            images[image_id] = {"mask": f"{number:06d}.png"}
            write_png(partial / f"{number:06d}.png", values)
        content = {"images": images, "skipped": skipped, "made_from": made_from}
        (partial / index.name).write_text(json.dumps(content), encoding="utf-8")


def predicted_guide(models: StageModels, last: Round) -> Guide:
    """All instances that the models of a round find, whatever their score."""
    model = models.round_system(last.semantic, last.instance)
    things = models.classes.thing_ids
    mapper = TestMapper()

    def guide(item: Mapping[str, Any]) -> NDArray[np.uint8]:
        image = mapper(dict(item))["image"]
        logits = model.semantic.predict(image[None])["sem_seg"][0]
        assert model.grouping is not None
        sem_seg, instance_ids, _ = find_instances(image.float(), logits, model.grouping)
        min_area = number_of(last.instance.cfg.INSTANCE.MIN_MASK_AREA, sem_seg.numel())
        values: NDArray[np.uint8] = guidance_map(sem_seg, instance_ids, things, min_area).byte().cpu().numpy()
        return values

    return guide


def oracle_guide(cfg: CfgNode) -> Guide:
    """A random share of the true instances, the same in every run of one seed. Reads labels of the target."""
    labelled = {
        item["image_id"]: item for item in load_dataset((cfg.RECIPE.ORACLE_GUIDANCE,), "RECIPE.ORACLE_GUIDANCE")
    }
    share = cfg.RECIPE.ORACLE_GUIDANCE_SHARE
    things = classes_of(cfg).thing_ids
    rng = np.random.default_rng(max(cfg.SEED, 0))

    def guide(item: Mapping[str, Any]) -> NDArray[np.uint8]:
        if item["image_id"] not in labelled:
            raise RecipeError(
                f"RECIPE.ORACLE_GUIDANCE = {cfg.RECIPE.ORACLE_GUIDANCE!r} has no image {item['image_id']}; name the "
                f"labelled twin of {tuple(cfg.DATASETS.TARGET)}"
            )
        labels = read_labels(labelled[item["image_id"]])
        numbers = np.unique(labels.instance_ids[labels.instance_ids > 0])
        chosen = numbers[rng.random(len(numbers)) < share]
        is_chosen = np.isin(labels.instance_ids, chosen) & np.isin(labels.sem_seg, things)
        return np.where(is_chosen, labels.sem_seg, VOID).astype(np.uint8)

    return guide
