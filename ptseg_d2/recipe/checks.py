"""What would end a recipe late, perhaps days into the run, found before its first stage begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ptseg_d2.config.rules import decides_mix, decides_weights
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.streams import images_per_step, require_masks, uses_target
from ptseg_d2.data.validation import validation_dicts
from ptseg_d2.recipe.groups import run_configs
from ptseg_d2.recipe.mix import read_candidates
from ptseg_d2.recipe.target_files.masks import with_masks
from ptseg_d2.runs.records import check_record, check_same_settings, read_done
from ptseg_d2.training.checkpoints import local_weights
from ptseg_d2.training.early_stopping import require_validation_loss
from ptseg_d2.training.trainer import check_schedule

from detectron2.config import CfgNode


def check_recipe(cfg: CfgNode, stages: Sequence[CfgNode], eval_only: bool) -> None:
    """Refuse what the run would end with, as long as nothing is written to its folder.

    Args:
        cfg: the config the user asked for.
        stages: configs of its recipe.
        eval_only: whether the stages are only evaluated.

    Raises:
        FileNotFoundError, ValueError, RecipeError: see `check_test_set`, `check_finished` and `check_data_sets`.
    """
    check_test_set(cfg)
    check_finished(stages, eval_only)
    if not eval_only:
        check_data_sets(stages)


def check_test_set(cfg: CfgNode) -> None:
    """Find missing images and labels of DATASETS.TEST, which may be empty; no file is opened.

    Raises:
        FileNotFoundError: images or labels of DATASETS.TEST are missing.
        ValueError: it is unknown, or has no labels.
    """
    if not cfg.DATASETS.TEST:
        return
    dicts = load_dataset(cfg.DATASETS.TEST, "DATASETS.TEST")
    if any("label_format" not in item for item in dicts):
        raise ValueError(f"DATASETS.TEST = {tuple(cfg.DATASETS.TEST)} has no labels to test on; name its labelled twin")


def check_stages(stages: Sequence[CfgNode], num_processes: int) -> None:
    """Find contradictions in the configs of stages.

    Args:
        stages: configs of the recipe.
        num_processes: over which every step's images are divided.

    Raises:
        ValueError: images do not divide, a warm-up is too long, a stage trains on masks that no other makes, or its
            network has no loss to be validated by.
        FileNotFoundError: weights of a detector are neither here nor to be downloaded.
        RecipeError: a mix chooses among runs that are not finished or do not fit.
    """
    for cfg in stages:
        check_classes(cfg)
        if cfg.RECIPE.STAGE == "instance_mix":
            read_candidates(cfg)
            continue
        if cfg.RECIPE.STAGE == "detector_zoo":
            local_weights(cfg.MODEL.WEIGHTS)
        if not _trains(cfg):  # all processes see the same images
            continue
        for key, size in images_per_step(cfg).items():
            if size % num_processes:
                raise ValueError(
                    f"stage {cfg.RECIPE.STAGE}: SOLVER.{key} = {size} images per step do not divide over "
                    f"{num_processes} processes (--num-gpus x --num-machines); choose a multiple of {num_processes}"
                )
        check_schedule(cfg)
        require_masks(with_masks(cfg))
        require_validation_loss(cfg)


def check_finished(stages: Sequence[CfgNode], eval_only: bool) -> None:
    """Refuse what `run_stage` would refuse, before anything is written to the folder of a finished run.

    Args:
        stages: configs of the recipe.
        eval_only: only what the networks look like must be as it was.

    Raises:
        RecipeError: a stage is finished with other settings, or on stages that were made again since; or it is only to
            be evaluated and is not finished.
    """
    for stage in stages:
        if stage.RECIPE.ROUND > 1:  # the agreement of the rounds before decides whether it is visited at all
            continue
        for cfg in run_configs(with_masks(stage)):
            done = Path(cfg.OUTPUT_DIR) / "done.json"
            if eval_only:
                read_done(cfg.OUTPUT_DIR)
                is_compared = decides_mix if cfg.RECIPE.STAGE == "instance_mix" else decides_weights
                check_same_settings(cfg, done, is_compared)
            elif done.exists():
                check_record(cfg, done)


def check_data_sets(stages: Sequence[CfgNode]) -> None:
    """Find missing images and labels of `unfinished` stages; no file is opened.

    Args:
        stages: configs of the recipe; the data of finished ones may be gone.

    Raises:
        FileNotFoundError: images or labels are missing.
        ValueError: a data set is unknown, or DATASETS.VALIDATION holds labels of the target.
    """
    listed: set[tuple[str, ...]] = set()
    for stage in unfinished(stages):
        trains = _trains(stage)
        for key, is_used in (("SOURCE", trains), ("TARGET", not trains or uses_target(stage))):
            if is_used and tuple(stage.DATASETS[key]) not in listed:
                load_dataset(stage.DATASETS[key], f"DATASETS.{key}")
                listed.add(tuple(stage.DATASETS[key]))
        if stage.DATASETS.VALIDATION and trains:
            validation_dicts(stage)


def unfinished(stages: Sequence[CfgNode]) -> list[CfgNode]:
    """Stages of which a run has no `done.json`; a mix, which opens no image, is not among them."""
    return [
        stage
        for stage in stages
        if stage.RECIPE.STAGE != "instance_mix"
        and not all(Path(cfg.OUTPUT_DIR, "done.json").exists() for cfg in run_configs(with_masks(stage)))
    ]


def check_classes(cfg: CfgNode) -> None:
    """Raise a ValueError when the network does not tell apart what the data sets have."""
    classes = classes_of(cfg)
    has_no_classifier = cfg.RECIPE.STAGE.startswith(("instance", "detector"))
    if cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES != classes.num_classes and not has_no_classifier:
        raise ValueError(
            f"stage {cfg.RECIPE.STAGE}: MODEL.SEM_SEG_HEAD.NUM_CLASSES = {cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES}, but the "
            f"data sets have {classes.num_classes} classes: {', '.join(classes.names)}"
        )


def _trains(cfg: CfgNode) -> bool:
    """Whether a stage changes weights; the others take statistics or predictions of target images."""
    return not cfg.RECIPE.STAGE.endswith(("_adapted", "_zoo"))
