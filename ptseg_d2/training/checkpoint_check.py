"""Whether a checkpoint fits the model it was loaded into. Detectron2 only warns, and goes on with random weights.

What may differ: a checkpoint of one network lacks the counters and priors of a student and teacher; one of a backbone
alone lacks the heads, and a foreign one whole parts of the model (`foreign_weights`); pixel means are the config's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ptseg_d2.modeling.teachers.momentum_teacher import MomentumTeacher
from ptseg_d2.training.foreign_weights import differences

from torch import nn

NUM_NAMED = 3
"""So many names of each kind are in a message."""

_CONFIGURED = ("pixel_mean", "pixel_std")


class Incompatible(Protocol):
    """What fvcore's Checkpointer returns.

    Attributes:
        missing_keys: names of the model that the checkpoint lacks.
        unexpected_keys: names of the checkpoint that the model lacks.
        incorrect_shapes: names in both, with the shape in the checkpoint and in the model.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]
    incorrect_shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]]


def check_weights(
    model: nn.Module, incompatible: Incompatible, file_name: str, *, foreign: bool = False, backbone_only: bool = False
) -> None:
    """Raise unless a checkpoint holds what the model needs, and nothing that it has no place for.

    Args:
        model: may be inside DistributedDataParallel.
        incompatible: what was found when it was loaded.
        file_name: of the checkpoint.
        foreign: its names were matched by Detectron2's heuristics, as those of ImageNet weights.
        backbone_only: heads are not expected in it.

    Raises:
        ValueError: it is of another architecture; counts and names what is missing, left over and of another shape.
    """
    missing, left_over = set(incompatible.missing_keys), set(incompatible.unexpected_keys)
    shapes = {
        name: f"{theirs} in the file, {ours} in the model" for name, theirs, ours in incompatible.incorrect_shapes
    }
    missing -= shapes.keys()
    network = getattr(model, "module", model)
    if foreign:
        missing, left_over, other_shape = differences(network, missing, left_over)
        ours = network.state_dict()
        shapes.update((name, f"not {tuple(ours[name].shape)} in the file") for name in other_shape)
    else:
        missing, left_over = _own(network, missing, left_over)
    if backbone_only:
        missing = {name for name in missing if "backbone." in name}
    if not (missing or left_over or shapes):
        return
    findings = [
        listed("weights of the model are missing in it", missing),
        listed("weights of it are left over", left_over),
        listed("have another shape", [f"{name}: {shape}" for name, shape in shapes.items()]),
    ]
    backbone_fits = not any("backbone." in name for name in (*missing, *left_over, *shapes))
    raise ValueError(
        f"{file_name} is of another architecture than the model: {'; '.join(text for text in findings if text)}. "
        "Choose the config that it was trained with, or other MODEL.WEIGHTS"
        + ("; RECIPE.INIT_BACKBONE_ONLY True takes the backbone alone, which fits" if backbone_fits else "")
    )


def _own(network: nn.Module, missing: set[str], left_over: set[str]) -> tuple[set[str], set[str]]:
    """What counts of a checkpoint with the names of Detectron2 or of this project."""
    if isinstance(network, MomentumTeacher):  # the teacher's names repeat the student's
        missing = {name for name in missing if "student." in name}
        left_over = {name for name in left_over if "teacher." not in name}
    # Counters and the like may have come since the checkpoint was written.
    trained = {name for name, _ in network.named_parameters()}
    return missing & trained, {name for name in left_over if not name.endswith(_CONFIGURED)}


def listed(what: str, names: Iterable[str]) -> str:
    """ "12 weights ... (a, b, c, ...)", or "" if there is none."""
    ordered = sorted(names)
    if not ordered:
        return ""
    more = ", ..." if len(ordered) > NUM_NAMED else ""
    return f"{len(ordered)} {what} ({', '.join(ordered[:NUM_NAMED])}{more})"
