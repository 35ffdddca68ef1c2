"""MIX: every thing class takes the network of the run that separates it best ([thesis], table 12.2, MIX*).

[thesis] chooses by the labelled validation set. By default the choice here needs no label: it is the mean stability
of the pseudo instances, how well class mask, student and teacher agree (`instance_stability`), on target images. The
teacher is a copy of the student, or a run would be judged by how far its student went since the last copy; the noise
of the training, which the student alone sees, keeps them apart. A class mask in which nothing is found counts as one 0.
INSTANCE.MIX_BY = "oracle" is that choice; its row says so.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptseg_d2.atomic import write_atomically
from ptseg_d2.classes.tables import VOID, ClassTable
from ptseg_d2.config.rules import decides_mix
from ptseg_d2.counting import evenly_spread
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.errors import RecipeError, check_choice
from ptseg_d2.inference.protocols import DensePredictor
from ptseg_d2.modeling.building import build_stage_model
from ptseg_d2.modeling.ema import copy_
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher
from ptseg_d2.random_states import seeded
from ptseg_d2.recipe.mix_candidates import Candidate, read_candidates
from ptseg_d2.runs.done import DONE, RESULTS, read_done
from ptseg_d2.runs.settings import check_same_settings
from ptseg_d2.stages import StageRun
from ptseg_d2.stages.table import SELFTRAIN
from ptseg_d2.training.checkpoints import load_weights
from ptseg_d2.training.probing import target_images

from detectron2.utils import comm
from tqdm import tqdm

CHOICE = "choice.json"
"""Below the folder of the stage: class -> the run and group that it takes, with the scores of all."""

IMAGES_PER_CLASS = 32
"""Target images, among those on which the class was predicted, on which its pseudo instances are judged."""

Scores = dict[str, dict[str, Any]]
"""Class name -> "value" to be compared (None = nothing found) and whatever else is worth keeping."""


def choose_networks(run: StageRun, resume: bool = False) -> None:
    """Write the choice of every class.

    Args:
        run: the stage "instance_mix".
        resume: without effect, there is nothing to continue.

    Raises:
        RecipeError: a run is not finished, does not fit or was not evaluated.
        ValueError: INSTANCE.MIX_BY is no known choice.
    """
    cfg = run.cfg
    check_choice("INSTANCE.MIX_BY", cfg.INSTANCE.MIX_BY, ("stability", "oracle"))
    candidates = read_candidates(run)
    if not comm.is_main_process():
        return
    judge = {"stability": score_by_stability, "oracle": score_by_labels}[cfg.INSTANCE.MIX_BY]
    scores = [judge(run, candidate) for candidate in tqdm(candidates, desc="networks", unit="network")]
    text = json.dumps(best_of_each_class(candidates, scores, classes_of(cfg)), indent=1)
    write_atomically(run.folder / CHOICE, text)


def best_of_each_class(
    candidates: list[Candidate], scores: list[Scores], classes: ClassTable
) -> dict[str, dict[str, Any]]:
    """The run and group with the highest value of each class; the first one where nobody has a value.

    Args:
        candidates: in the order of INSTANCE.MIX_FROM.
        scores: of their classes.
        classes: of the data sets.
    """
    choice: dict[str, dict[str, Any]] = {}
    for name in (classes.names[thing] for thing in classes.thing_ids):
        offers = [(candidate, found[name]) for candidate, found in zip(candidates, scores) if name in found]
        if not offers:
            continue
        best, _ = max(offers, key=lambda offer: -1.0 if offer[1]["value"] is None else offer[1]["value"])
        choice[name] = {
            "run": best.run,
            "group": best.group,
            "scores": {candidate.run: score for candidate, score in offers},
        }
    return choice


def score_by_stability(run: StageRun, candidate: Candidate) -> Scores:
    """The `mean_stability` of each class; no label is read."""
    model = _load(run, candidate)
    copy_(model.teacher, model.student)  # `refresh_teacher_` would wait for the other processes
    images, noise = target_images(run.cfg, run.inputs)
    finds: dict[int, list[list[float]]] = {thing: [] for thing in model.thing_ids}
    for thing, of_masks in finds.items():
        shown = [item for item in images if item["class_shares"][thing] >= model.min_mask_share]
        for number, item in enumerate(evenly_spread(shown, IMAGES_PER_CLASS)):
            with seeded(number):  # noise and anchors of an image are the same for every candidate
                teacher, student, sem_seg = model.encode_image(item, noise)
                of_class = sem_seg.where(sem_seg == thing, VOID)
                if int((of_class == thing).sum()) >= model.min_mask_area(of_class):
                    of_masks.append(list(model.pseudo_instances(teacher, student, of_class)[1].values()))
    return {classes_of(run.cfg).names[thing]: mean_stability(of_masks) for thing, of_masks in finds.items()}


def mean_stability(finds: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Mean stability as "value", None without a mask, and how many "instances" were found.

    Args:
        finds: per class mask the stability of its instances. A mask without any counts as one of stability 0, so that
            a network that finds a single stable instance does not beat one that finds hundreds.
    """
    values = [value for stabilities in finds for value in stabilities or [0.0]]
    return {"value": sum(values) / len(values) if values else None, "instances": sum(map(len, finds))}


def score_by_labels(run: StageRun, candidate: Candidate) -> Scores:
    """AP50 of each class on DATASETS.TEST, from the results.json of the run.

    Raises:
        RecipeError: the run was not evaluated, or on other data.
    """
    path = Path(candidate.run).parent / RESULTS
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    row = results.get("instance", {}).get(SELFTRAIN)
    if row is None or results["datasets"]["test"] != list(run.cfg.DATASETS.TEST):
        raise RecipeError(
            f"INSTANCE.MIX_BY = 'oracle' reads the AP50 of {candidate.run} on {run.cfg.DATASETS.TEST} from {path}, "
            "which does not hold it; run the config of that run with --eval-only first"
        )
    return {name: {"value": row["per_class"][name]["AP50"]} for name in candidate.classes}


def mixed_networks(run: StageRun) -> list[tuple[tuple[int, ...], DensePredictor]]:
    """Thing classes and the network that separates them, as chosen.

    Args:
        run: the finished stage.

    Raises:
        RecipeError: the stage is not finished, or chose among other runs.
    """
    read_done(run.folder)
    check_same_settings(run, run.folder / DONE, decides_mix)
    choice = json.loads((run.folder / CHOICE).read_text(encoding="utf-8"))
    networks: list[tuple[tuple[int, ...], DensePredictor]] = []
    for candidate in read_candidates(run):
        chosen = [name for name, best in choice.items() if (best["run"], best["group"]) == candidate.place]
        if chosen:
            networks.append((classes_of(run.cfg).ids(chosen), _load(run, candidate)))
    return networks


def _load(run: StageRun, candidate: Candidate) -> EmbeddingMomentumTeacher:
    model = build_stage_model(run.cfg, dataclasses.replace(run.inputs, group=candidate.classes))
    assert isinstance(model, EmbeddingMomentumTeacher)  # `read_candidates` compared the architectures
    load_weights(model, str(candidate.weights))
    model.eval()
    return model
