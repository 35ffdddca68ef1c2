"""What would end a recipe late, perhaps days into the run, found before its first stage begins."""

from __future__ import annotations

from collections.abc import Sequence

from ptseg_d2.config.rules import decides_mix, decides_weights
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.streams import images_per_step, require_masks, uses_target
from ptseg_d2.data.validation import validation_dicts
from ptseg_d2.recipe.groups import parts_of
from ptseg_d2.recipe.mix import read_candidates
from ptseg_d2.runs.done import DONE, read_done
from ptseg_d2.runs.records import check_record
from ptseg_d2.runs.settings import check_same_settings
from ptseg_d2.stages import StageRun
from ptseg_d2.stages.table import Work
from ptseg_d2.training.checkpoints import local_weights
from ptseg_d2.training.early_stopping import require_validation_loss
from ptseg_d2.training.trainer import check_schedule

from detectron2.config import CfgNode


def check_recipe(cfg: CfgNode, runs: Sequence[StageRun], eval_only: bool) -> None:
    """Refuse what the run would end with, as long as nothing is written to its folder.

    Args:
        cfg: the config the user asked for.
        runs: stages of its recipe.
        eval_only: whether the stages are only evaluated.

    Raises:
        FileNotFoundError, ValueError, RecipeError: see `check_test_set`, `check_finished` and `check_data_sets`.
    """
    check_test_set(cfg)
    check_finished(runs, eval_only)
    if not eval_only:
        check_data_sets(runs)


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


def check_stages(runs: Sequence[StageRun], num_processes: int) -> None:
    """Find contradictions in the configs of stages.

    Args:
        runs: stages of the recipe.
        num_processes: over which every step's images are divided.

    Raises:
        ValueError: images do not divide, a warm-up is too long, a stage trains on masks that no other makes, or its
            network has no loss to be validated by.
        FileNotFoundError: weights of a detector are neither here nor to be downloaded.
        RecipeError: a mix chooses among runs that are not finished or do not fit.
    """
    for run in runs:
        check_classes(run)
        if run.stage.work is Work.CHOOSE:
            read_candidates(run)
        elif run.stage.work is Work.DETECT:
            local_weights(run.cfg.MODEL.WEIGHTS)
        elif run.stage.work is Work.TRAIN:
            _check_training(run, num_processes)


def _check_training(run: StageRun, num_processes: int) -> None:
    for key, size in images_per_step(run.cfg).items():
        if size % num_processes:
            raise ValueError(
                f"stage {run.name}: SOLVER.{key} = {size} images per step do not divide over "
                f"{num_processes} processes (--num-gpus x --num-machines); choose a multiple of {num_processes}"
            )
    check_schedule(run.cfg)
    require_masks(run.cfg, run.inputs)
    require_validation_loss(run.cfg)


def check_finished(runs: Sequence[StageRun], eval_only: bool) -> None:
    """Refuse what `run_stage` would refuse, before anything is written to the folder of a finished run.

    Args:
        runs: stages of the recipe.
        eval_only: only what the networks look like must be as it was.

    Raises:
        RecipeError: a stage is finished with other settings, or on stages that were made again since; or it is only to
            be evaluated and is not finished.
    """
    for run in runs:
        if run.inputs.round > 1:  # the agreement of the rounds before decides whether it is visited at all
            continue
        for part in parts_of(run):
            done = part.folder / DONE
            if eval_only:
                read_done(part.folder)
                check_same_settings(part, done, decides_mix if run.stage.work is Work.CHOOSE else decides_weights)
            elif done.exists():
                check_record(part, done)


def check_data_sets(runs: Sequence[StageRun]) -> None:
    """Find missing images and labels of `unfinished` stages; no file is opened.

    Args:
        runs: stages of the recipe; the data of finished ones may be gone.

    Raises:
        FileNotFoundError: images or labels are missing.
        ValueError: a data set is unknown, or DATASETS.VALIDATION holds labels of the target.
    """
    listed: set[tuple[str, ...]] = set()
    for run in unfinished(runs):
        cfg, trains = run.cfg, run.stage.work is Work.TRAIN
        for key, is_used in (("SOURCE", trains), ("TARGET", not trains or uses_target(cfg))):
            if is_used and tuple(cfg.DATASETS[key]) not in listed:
                load_dataset(cfg.DATASETS[key], f"DATASETS.{key}")
                listed.add(tuple(cfg.DATASETS[key]))
        if cfg.DATASETS.VALIDATION and trains:
            validation_dicts(cfg)


def unfinished(runs: Sequence[StageRun]) -> list[StageRun]:
    """Stages of which a run has no `done.json`; a choice among networks, which opens no image, is not among them."""
    return [
        run
        for run in runs
        if run.stage.work is not Work.CHOOSE and not all((part.folder / DONE).exists() for part in parts_of(run))
    ]


def check_classes(run: StageRun) -> None:
    """Raise a ValueError when the network does not tell apart what the data sets have."""
    classes = classes_of(run.cfg)
    num_classes = run.cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    if num_classes != classes.num_classes and run.stage.has_classifier:
        raise ValueError(
            f"stage {run.name}: MODEL.SEM_SEG_HEAD.NUM_CLASSES = {num_classes}, but the "
            f"data sets have {classes.num_classes} classes: {', '.join(classes.names)}"
        )
