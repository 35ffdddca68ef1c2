#!/usr/bin/env python
"""Panoptic quality, with 95 % confidence intervals, of anybody's predictions in the COCO panoptic format.

    python tools/evaluate_predictions.py --gt cityscapes_panoptic_val.json --pred pred.json --num-workers 8

The categories, things and stuff, are those of the ground truth's JSON file. The PNGs lie in the folder of the JSON
file's name without its suffix, or in --gt-folder and --pred-folder. The numbers are those of panopticapi.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ptseg_d2.atomic import write_atomically
from ptseg_d2.errors import DataError
from ptseg_d2.evaluation.confidence import NUM_RESAMPLES
from ptseg_d2.evaluation.panoptic_files import Pair, PanopticScorer, paired, read_panoptic_json
from ptseg_d2.evaluation.panoptic_quality import QUALITIES, PanopticQuality

import cv2
from tabulate import tabulate
from tqdm import tqdm

IMAGES_PER_TASK = 4


def whole_number(text: str) -> int:
    """Argument type: an integer >= 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a number >= 0, got {value}")
    return value


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description="panoptic quality of predictions in the COCO panoptic format")
    parser.add_argument("--gt", required=True, metavar="FILE", help="JSON file of the ground truth")
    parser.add_argument("--gt-folder", metavar="DIR", help="its PNGs; default: FILE without its suffix")
    parser.add_argument("--pred", required=True, metavar="FILE", help="JSON file of the predictions")
    parser.add_argument("--pred-folder", metavar="DIR", help="their PNGs; default: FILE without its suffix")
    parser.add_argument("--output", metavar="FILE", help="write all numbers there, as JSON")
    parser.add_argument("--num-workers", type=whole_number, default=0, help="processes; 0 = only this one (default)")
    parser.add_argument("--bootstrap", type=whole_number, default=NUM_RESAMPLES, help="resamples; 0 = no intervals")
    return parser


def score_images(scorer: PanopticScorer, pairs: list[Pair], num_workers: int) -> Iterator[PanopticQuality]:
    """The accumulator of each image."""
    if num_workers == 0:
        yield from map(scorer.score, pairs)
        return
    # OpenCV's threads would compete with the processes, and do not survive a fork.
    with ProcessPoolExecutor(num_workers, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        yield from pool.map(scorer.score, pairs, chunksize=IMAGES_PER_TASK)


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Scores in percent as in results.json, with "ci95" and the number of images."""
    truth = read_panoptic_json(args.gt, args.gt_folder, with_categories=True)
    predictions = read_panoptic_json(args.pred, args.pred_folder)
    pairs = paired(truth, predictions)
    scorer = PanopticScorer(truth, predictions)
    quality = scorer.empty()
    for scores in tqdm(score_images(scorer, pairs, args.num_workers), total=len(pairs), desc="images", unit="image"):
        quality.merge(scores)
    results = {"gt": args.gt, "pred": args.pred, "images": len(pairs), "panoptic": quality.compute()}
    if args.bootstrap:
        results["panoptic"]["ci95"] = quality.intervals(args.bootstrap)
    names = {"things": quality.is_thing, "stuff": ~quality.is_thing}
    results["classes"] = {
        group: [name for name, keep in zip(quality.class_names, mask) if keep] for group, mask in names.items()
    }
    return results


def score_table(scores: dict[str, Any], classes: dict[str, list[str]]) -> str:
    """Means over all classes, things and stuff with their intervals, then every class."""

    def number(key: str) -> str:
        interval = scores.get("ci95", {}).get(key)
        text = "-" if scores[key] is None else f"{scores[key]:.2f}"
        return text + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")

    per_class = scores["per_class"]
    groups = {"all": ("", list(per_class)), "things": ("_th", classes["things"]), "stuff": ("_st", classes["stuff"])}
    means = [
        [group, *(number(key + suffix) for key in QUALITIES), sum(per_class[name]["PQ"] is not None for name in names)]
        for group, (suffix, names) in groups.items()
    ]
    means.append(["PQ_plus, all", number("PQ_plus"), "", "", ""])
    keys = (*QUALITIES, "TP", "FP", "FN")
    rows = [
        [name, "thing" if name in classes["things"] else "stuff", *map(row.get, keys)]
        for name, row in per_class.items()
    ]
    as_table = partial(tabulate, tablefmt="github", floatfmt=".2f", missingval="-")
    return "\n\n".join(
        [as_table(means, ["", *QUALITIES, "classes that occur"]), as_table(rows, ["class", "kind", *keys])]
    )


def main(args: argparse.Namespace) -> None:
    """Score, show, write."""
    results = evaluate(args)
    print(score_table(results["panoptic"], results["classes"]))
    if args.output:
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(args.output), json.dumps(results, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    try:
        main(build_parser().parse_args())
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")
