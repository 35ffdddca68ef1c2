"""Which parts of a model a foreign checkpoint means: ImageNet's a backbone, a model zoo's whole networks or some heads.

Detectron2 finds a place for each weight whose name ends the name of one of the model's, and is silent about the rest. A
part is the smallest thing that is there as a whole or not at all: a backbone, also one inside another (below a feature
pyramid, beside BiSeNet's spatial path), a head, or one of the heads of `ROIHeads`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from detectron2.modeling import Backbone
from detectron2.modeling.roi_heads import ROIHeads
from torch import nn

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_CLASSIFIER = re.compile(r"(?:^|\.)stem\.fc\.|^(?:head\.)?(?:fc|fc1000|linear)\.")
"""ImageNet's, in files of torchvision's ResNets as Detectron2 converts them, of pycls and of MSRA."""


class Differences(NamedTuple):
    """Names that keep a checkpoint from fitting.

    Attributes:
        missing: of the model, in a part that the file has.
        left_over: of the file, in such a part.
        other_shape: of the model, which the file has in another shape.
    """

    missing: set[str]
    left_over: set[str]
    other_shape: set[str]


def differences(network: nn.Module, missing: set[str], left_over: set[str]) -> Differences:
    """What is wrong with a foreign checkpoint; all that is missing and left over if it shares no part with the model.

    Args:
        network: the model that it was loaded into.
        missing: names of the model's state that were not found.
        left_over: names of the file that found no place.
    """
    # Detectron2 counts a weight of another shape as missing, and as left over under the file's name.
    misfits = {
        theirs: ours
        for theirs in left_over
        for ours in missing
        if _is_or_ends_in(ours, theirs) and not _CLASSIFIER.search(theirs)
    }
    other_shape = set(misfits.values())
    trained = {name for name, _ in network.named_parameters()}
    weights = {name for name in network.state_dict() if name in trained or name.endswith((".weight", ".bias"))}
    found = weights - missing
    parts = _parts(network)
    in_file = {_innermost_part(name, parts) for name in found | other_shape}
    if not in_file:
        return Differences(missing, left_over, other_shape)
    missing = {name for name in (missing & weights) - other_shape if _innermost_part(name, parts) in in_file}
    left_over = {name for name in left_over - misfits.keys() if not _may_be_left(name, found)}
    left_over = {name for name in left_over if any(_lies_in(name, part, network) for part in in_file)}
    return Differences(missing, left_over, other_shape)


def _parts(network: nn.Module) -> list[str]:
    """Names of the modules that are parts; the outer ones first, and "" for what lies in none."""
    parts = {""}
    for name, module in network.named_modules():
        if isinstance(module, Backbone) or (name and "." not in name):
            parts.add(name)
        if isinstance(module, ROIHeads):
            parts.update(f"{name}.{child}" for child, _ in module.named_children())
    return sorted(parts)


def _innermost_part(name: str, parts: list[str]) -> str:
    return max((part for part in parts if name.startswith(part + ".")), key=len, default="")


def _lies_in(name: str, part: str, network: nn.Module) -> bool:
    """Whether a name of the file lies in a part: it may leave out the beginning of the part's name, or all of it."""
    if not part:
        return False
    pieces = part.split(".")
    if any(name.startswith(".".join(pieces[start:]) + ".") for start in range(len(pieces))):
        return True
    inside = {child for child, _ in network.get_submodule(part).named_children()}
    return name.split(".")[0] in inside


def _may_be_left(name: str, found: set[str]) -> bool:
    """Statistics, ImageNet's classifier, and the bias that MSRA's ResNets have before a normalisation."""
    layer, _, kind = name.rpartition(".")
    if kind in _STATISTICS or _CLASSIFIER.search(name):
        return True
    return kind == "bias" and any(_is_or_ends_in(ours, f"{layer}.norm.weight") for ours in found)


def _is_or_ends_in(name: str, end: str) -> bool:
    return name == end or name.endswith("." + end)
