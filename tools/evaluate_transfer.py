#!/usr/bin/env python
r"""How well detectors trained on COCO see street scenes: tables III, IV and figure 3 of the COCO -> Cityscapes report.

    python tools/evaluate_transfer.py --output output/transfer
    python tools/evaluate_transfer.py --output output/transfer --riders --cityscapes miniscapes_cityscapes_labeled_val \
        --detector small configs/coco_to_cityscapes/mask_rcnn_miniscapes.yaml out/detector_source/model_final.pth

Without --detector these are Mask R-CNN R50-FPN 3x and PointRend of Detectron2's model zoo, without --cityscapes and
--coco* the validation images of both. A detector is a name, a config (file, or name in the model zoo) and its weights:
a file, an address, "random", or nothing for those of the config. Writes OUTPUT/transfer.json after every step, which
keeps what earlier commands wrote there, and OUTPUT/pictures. What fails is said at the end, with exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.atomic import write_atomically
from ptseg_d2.classes.coco import class_map_rows
from ptseg_d2.detectors.coco_instances import register_coco_folder
from ptseg_d2.detectors.detector import RANDOM, Detector, DetectorSpec, build_detector, detector_config
from ptseg_d2.detectors.transfer import evaluate_on_cityscapes, evaluate_on_coco
from ptseg_d2.detectors.transfer_pictures import Sheets
from ptseg_d2.detectors.transfer_tables import (
    MASK_RCNN,
    PAPER_CITYSCAPES,
    PAPER_COCO,
    POINT_REND,
    cityscapes_table,
    class_map_table,
    coco_table,
)
from ptseg_d2.errors import DataError, RecipeError
from ptseg_d2.runs.provenance import code_version, hardware, now

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.utils.logger import setup_logger

CONFIGS = Path(__file__).parents[1] / "configs" / "coco_to_cityscapes"
ZOO = [
    DetectorSpec(MASK_RCNN, str(CONFIGS / "mask_rcnn_R_50_FPN_3x.yaml")),
    DetectorSpec(POINT_REND, str(CONFIGS / "pointrend_R_50_FPN_3x.yaml")),
]
COCO_VAL, STREETS_VAL = "coco_2017_val", "cityscapes_labeled_val"
RIDERS = ", riders by rule"
NO_MATTER = ("MODEL.DEVICE", "DATALOADER.NUM_WORKERS", "OUTPUT_DIR")  # keys without a say in the scores
USER_ERRORS = (DataError, OSError, RecipeError, ValueError)


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="gets transfer.json and pictures/")
    parser.add_argument(
        "--detector", nargs="+", action="append", metavar="WORD", help="NAME CONFIG [WEIGHTS]; may be repeated"
    )
    parser.add_argument("--coco", metavar="NAME", help=f"registered data set with COCO annotations, such as {COCO_VAL}")
    parser.add_argument("--coco-json", metavar="FILE", help="COCO-format instances.json of a folder of your own")
    parser.add_argument("--coco-images", metavar="FOLDER", help="to which its file names are relative")
    parser.add_argument("--cityscapes", nargs="+", metavar="NAME", help=f"labelled data sets, such as {STREETS_VAL}")
    parser.add_argument("--riders", action="store_true", help="score too with persons on two wheels as riders")
    parser.add_argument("--num-pictures", type=int, default=4, metavar="N", help="images drawn per data set (4)")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="overrides of all configs: KEY VALUE ...")
    return parser


def detectors_of(args: argparse.Namespace) -> list[DetectorSpec]:
    """The detectors that the arguments name.

    Raises:
        ValueError: --detector has too few or too many words, or two have one name.
    """
    for words in args.detector or []:
        if not 2 <= len(words) <= 3:
            raise ValueError(f"--detector {' '.join(words)}: expected NAME CONFIG [WEIGHTS]")
    specs = [DetectorSpec(*words) for words in args.detector or []] or ZOO
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise ValueError(f"--detector: two detectors are called {max(names, key=names.count)!r}")
    return specs


def datasets_of(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Names of the COCO-format and of the Cityscapes data sets.

    Raises:
        ValueError: one of --coco-json and --coco-images is missing, or a name is not registered.
        FileNotFoundError: the folder is not there.
    """
    if bool(args.coco_json) != bool(args.coco_images):
        raise ValueError("--coco-json and --coco-images belong together: annotations and the folder of their images")
    coco = [args.coco] if args.coco else []
    if args.coco_json:
        coco.append(register_coco_folder(args.coco_json, args.coco_images))
    cityscapes = list(args.cityscapes or [])
    if not coco and not cityscapes:
        return [COCO_VAL], [STREETS_VAL]
    unknown = [name for name in (*coco, *cityscapes) if name not in DatasetCatalog.list()]
    if unknown:
        known = ", ".join(name for name in DatasetCatalog.list() if "labeled_val" in name)
        raise ValueError(f"data set {unknown[0]!r} is not registered; for --cityscapes there are {known}")
    return coco, cityscapes


class TransferResults:
    """transfer.json, written after every step; what earlier commands left in it stays."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            ValueError: there is a transfer.json that is none.
        """
        self.path = folder / "transfer.json"
        self.content: dict[str, Any] = {}
        if self.path.exists():
            try:
                self.content = json.loads(self.path.read_text(encoding="utf-8"))
            except json.JSONDecodeError as error:
                raise ValueError(f"{self.path} is no JSON file ({error}); move it away") from error
        self.content["class_map"] = dict(class_map_rows())
        self.content["paper"] = {"coco": PAPER_COCO, "cityscapes": PAPER_CITYSCAPES}
        self.content.setdefault("detectors", {})

    def check(self, name: str, identity: dict[str, Any]) -> None:
        """Raise a ValueError if there are scores of another detector of this name, which would be lost."""
        entry = self.content["detectors"].get(name, {})
        known = {key: entry.get(key, {}) for key in identity}
        if entry and known != identity:
            raise ValueError(
                f"{self.path} has scores of another detector of this name, {_said(known)}, and this one is "
                f"{_said(identity)}; choose another name or another --output"
            )

    def add(self, name: str, identity: dict[str, Any], section: str, dataset: str, scores: dict[str, Any]) -> None:
        """Keep the scores, and where they come from, of one detector on one data set."""
        entry = self.content["detectors"].setdefault(name, dict(identity))
        entry.setdefault(section, {})[dataset] = scores
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(self.content, indent=1))

    def tables(self) -> str:
        """Class map, and table III or IV of each data set."""
        detectors: dict[str, Any] = self.content["detectors"]
        texts = [class_map_table()]
        for dataset in dict.fromkeys(d for entry in detectors.values() for d in entry.get("coco", {})):
            rows = {n: e["coco"][dataset] for n, e in detectors.items() if dataset in e.get("coco", {})}
            texts.append(f"{dataset}\n{coco_table(rows)}")
        for dataset in dict.fromkeys(d for entry in detectors.values() for d in entry.get("cityscapes", {})):
            columns = {
                f"{name}{rule}": scores
                for name, entry in detectors.items()
                for rule, scores in entry.get("cityscapes", {}).get(dataset, {}).get("scores", {}).items()
            }
            texts.append(f"{dataset}\n{cityscapes_table(columns)}")
        return "\n\n".join(texts)


def identity_of(spec: DetectorSpec, cfg: CfgNode, opts: Sequence[str]) -> dict[str, Any]:
    """What decides the scores of a detector: config, weights and overrides."""
    weights = cfg.MODEL.WEIGHTS or f"{RANDOM}, seed {max(cfg.SEED, 0)}"
    pairs = {key: value for key, value in sorted(zip(opts[::2], opts[1::2])) if key not in NO_MATTER}
    return {"config": spec.config, "weights": weights, "opts": pairs}


def _said(identity: dict[str, Any]) -> str:
    pairs = [f"{key} {value}" for key, value in identity["opts"].items()]
    return " ".join([f"{identity['config']} ({identity['weights']})", *pairs])


def evaluate(args: argparse.Namespace) -> list[str]:
    """All detectors on all data sets; returns what went wrong."""
    specs = detectors_of(args)
    coco, cityscapes = datasets_of(args)
    results = TransferResults(Path(args.output))
    sheets = Sheets(Path(args.output) / "pictures", args.num_pictures)
    failures: list[str] = []
    for spec in specs:
        try:
            cfg = detector_config(spec, args.opts)
            identity = identity_of(spec, cfg, args.opts)
            results.check(spec.name, identity)
            torch.manual_seed(max(cfg.SEED, 0))
            detector = build_detector(cfg)
        except USER_ERRORS as error:
            failures.append(f"{spec.name}: {error}")
            continue
        rules = {"": False, RIDERS: True} if args.riders else {"": cfg.MODEL.DETECTOR.RIDERS}
        for section, dataset in (*(("coco", name) for name in coco), *(("cityscapes", name) for name in cityscapes)):
            try:
                scores = score(detector, section, dataset, rules, sheets, spec.name)
            except USER_ERRORS as error:
                failures.append(f"{spec.name} on {dataset}: {error}")
                continue
            facts = {"time": now(), "hardware": hardware(cfg), "code": code_version()}
            results.add(spec.name, identity, section, dataset, {**scores, **facts})
            failures += [f"{dataset}: left out: {message}" for message in scores["unreadable"]]
    print(results.tables())
    return list(dict.fromkeys(failures))


def score(
    detector: Detector, section: str, dataset: str, rules: dict[str, bool], sheets: Sheets, name: str
) -> dict[str, Any]:
    """Scores of one detector on one data set."""
    if section == "coco":
        return evaluate_on_coco(detector, dataset)
    look = sheets.looker(dataset, name) if sheets.num_pictures > 0 else None
    return evaluate_on_cityscapes(detector, dataset, rules, look)


def run(argv: Sequence[str] | None = None) -> None:
    """Parse the command line; what went wrong ends it with exit status 1."""
    args = build_parser().parse_args(argv)
    setup_logger(name="ptseg_d2")
    try:
        failures = evaluate(args)
    except USER_ERRORS as error:
        if os.environ.get("PTSEG_TRACEBACK"):
            raise
        failures = [str(error)]
    if failures:
        sys.exit("\n".join(f"error: {failure}" for failure in failures))


if __name__ == "__main__":
    run()
