"""Label-free score of a round: how far student and teacher agree on unlabelled target images.

The panoptic quality of the student's result on a noisy image, with the teacher's on the clean one in the place of
the truth: it looks at both branches, in the measure that the recipe is about, and needs no label.
"""

from __future__ import annotations

import json
import logging

from ptseg_d2.counting import evenly_spread
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.evaluation.panoptic_quality import PanopticQuality
from ptseg_d2.random_states import seeded
from ptseg_d2.recipe.models import StageModels
from ptseg_d2.recipe.rounds import Round, agreement_basis, agreement_file, read_agreement
from ptseg_d2.runs.atomic import write_atomically
from ptseg_d2.runs.lock import only_here
from ptseg_d2.training.probing import target_images

import torch
from detectron2.utils import comm
from tqdm import tqdm

logger = logging.getLogger(__name__)


def note_agreement(models: StageModels, pair: Round) -> float:
    """The agreement of a finished round, measured once and kept beside its instance models.

    Args:
        models: of the recipe.
        pair: the round.

    Returns:
        Percent.
    """
    agreement = read_agreement(pair) if comm.is_main_process() else None
    if comm.is_main_process() and agreement is None:
        path = agreement_file(pair)
        with only_here(path.parent):
            agreement = measure_agreement(models, pair)
            write_atomically(path, json.dumps({"agreement": agreement, "basis": agreement_basis(pair)}, indent=1))
    agreement = float(comm.all_gather(agreement)[0])
    logger.info("Round %d: student and teacher agree to %.2f %% (PQ)", pair.number, agreement)
    return agreement


@torch.no_grad()
def measure_agreement(models: StageModels, pair: Round) -> float:
    """PQ in percent of the student's results against the teacher's; 0 where neither finds anything.

    Args:
        models: of the recipe.
        pair: the round; its instance stage says how many target images, and what noise the student sees.
    """
    run = pair.instance
    student, teacher = (models.round_system(*pair, role) for role in ("student", "teacher"))
    dicts, noise = target_images(run.cfg, run.inputs)
    quality = PanopticQuality(models.classes.names, models.classes.thing_ids)
    images = evenly_spread(dicts, run.cfg.RECIPE.AGREEMENT_IMAGES)
    mapper = TestMapper()
    with seeded(max(run.cfg.SEED, 0)):
        for item in tqdm(images, desc="agreement of student and teacher", unit="image"):
            clean = mapper(dict(item))
            noisy = {**clean, "image": noise(clean["image"])}
            (ids, segments), (true_ids, true_segments) = (
                model([image])[0]["panoptic_seg"] for model, image in ((student, noisy), (teacher, clean))
            )
            quality.update(ids.cpu().numpy(), segments, true_ids.cpu().numpy(), true_segments)
    return float(quality.compute()["PQ"] or 0.0)
