"""Pyramids of [timm] as Detectron2 backbones: EfficientNet, ResNet, ConvNeXt, Swin, PVT and what else it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ptseg_d2.errors import RecipeError
from ptseg_d2.modeling.backbones.timm_weights import HUB, check_name, pixel_statistics, pretrained_state, settings_of

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = ("stem", "res2", "res3", "res4", "res5")
"""Detectron2's names of the features at strides 2, 4, 8, 16 and 32; with less stride a level keeps its name."""

FULL_STRIDE = 32


class TimmBackbone(Backbone):
    """The features of a network of timm, named as those of Detectron2's ResNets, so that every head takes them.

    A network that begins with patches of 4x4 has no "stem"; its images are padded by zeros below and at the right until
    its coarsest stride divides them. Every feature of an image (H, W) is (ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        name: str,
        *,
        out_features: Sequence[str],
        in_channels: int = 3,
        output_stride: int = FULL_STRIDE,
        drop_path: float = 0.0,
        freeze_at: int = 0,
        grad_checkpointing: bool = False,
    ) -> None:
        """
        Args:
            name: of a network of timm.
            out_features: some of `LEVELS`.
            in_channels: of the images.
            output_stride: 32, or 16 or 8 where the network can be dilated.
            drop_path: probability that a block is left out in training ([StochasticDepth]), in [0, 1).
            freeze_at: number of levels from the finest on that never change, batch-norm statistics included; 0 = none.
            grad_checkpointing: compute activations again in the backward pass, which takes less memory.

        Raises:
            RecipeError: timm has no such network, it is no pyramid, or it lacks what is asked for.
        """
        super().__init__()
        check_name(name)
        self.name = name
        self._options = _create_options(in_channels, output_stride, drop_path)
        self.network = _create(name, self._options)
        channels, strides = self.network.feature_info.channels(), self.network.feature_info.reduction()
        first = {2: 0, 4: 1}.get(strides[0], len(LEVELS))
        self.levels = LEVELS[first : first + len(strides)]
        if len(self.levels) < len(strides) or strides[-1] == strides[0]:
            raise RecipeError(
                f"MODEL.TIMM.NAME = {name!r} has features at the strides {strides}; expected a pyramid, such as "
                "2, 4, 8, 16, 32 or 4, 8, 16, 32"
            )
        self._out_features = list(out_features)
        unknown = [feature for feature in out_features if feature not in self.levels]
        if unknown:
            raise RecipeError(
                f"MODEL.TIMM.OUT_FEATURES has {unknown[0]!r}, but the features of {name} are {', '.join(self.levels)}"
            )
        self._out_feature_channels = dict(zip(self.levels, channels))
        self._out_feature_strides = dict(zip(self.levels, strides))
        self._multiple = 1 if self.levels == LEVELS else max(strides)
        if freeze_at:
            _freeze(self.network, freeze_at)
        if grad_checkpointing:
            self.network.set_grad_checkpointing(True)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features by name.

        Args:
            images: (N, in_channels, H, W) float, normalised, at least as large as the coarsest stride.
        """
        size = images.shape[-2:]
        coarsest = max(self._out_feature_strides.values())
        if min(size) < coarsest:
            raise ValueError(
                f"images of {size[0]}x{size[1]} pixels are smaller than the output stride of {self.name}, {coarsest}"
            )
        below, right = (-side % self._multiple for side in size)
        features = self.network(F.pad(images, (0, right, 0, below)))
        if getattr(self.network, "output_fmt", "NCHW") == "NHWC":
            features = [feature.permute(0, 3, 1, 2).contiguous() for feature in features]
        by_level = dict(zip(self.levels, features))
        return {name: self._cropped(by_level[name], name, size) for name in self._out_features}

    def _cropped(self, feature: Tensor, name: str, size: Sequence[int]) -> Tensor:
        height, width = (-(-side // self._out_feature_strides[name]) for side in size)
        return feature[..., :height, :width]

    def load_pretrained(self, weights: str) -> None:
        """Start from pretrained weights.

        Args:
            weights: "" = keep the random ones; "package", "hub", or a file, see `timm_weights`.

        Raises:
            RecipeError: there are no such weights, they cannot be fetched, are damaged, or of another network.
            FileNotFoundError: the file does not exist.
        """
        if not weights:
            return
        own = self.network.state_dict()
        given = pretrained_state(self.name, weights) if weights != HUB else {}
        is_as_in_file = own.keys() <= given.keys() and self._options["in_chans"] == 3
        state = given if is_as_in_file else self._converted(given)
        self.network.load_state_dict({name: state[name] for name in own})

    def _converted(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the whole network, or of timm's hub where there are none, under the names of its features."""
        overlay = {"pretrained_cfg_overlay": {"state_dict": given}} if given else {}
        try:
            state: dict[str, Tensor] = _create(self.name, {**self._options, **overlay, "pretrained": True}).state_dict()
        except (OSError, RuntimeError) as error:
            if given:
                raise
            settings = settings_of(self.name)
            raise RecipeError(
                f"the weights of {self.name} could not be fetched ({type(error).__name__}: {error}); get "
                f"model.safetensors of {settings.hf_hub_id or settings.url} where there is a network, and give its "
                "path as MODEL.TIMM.WEIGHTS"
            ) from error
        return state


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """The network of MODEL.TIMM, with random weights: those of MODEL.TIMM.WEIGHTS are where a stage starts from."""
    options = cfg.MODEL.TIMM
    return TimmBackbone(
        options.NAME,
        out_features=options.OUT_FEATURES,
        in_channels=input_shape.channels or 3,
        output_stride=options.OUTPUT_STRIDE,
        drop_path=options.DROP_PATH,
        freeze_at=options.FREEZE_AT,
        grad_checkpointing=options.GRAD_CHECKPOINTING,
    )


def take_pixel_statistics(cfg: CfgNode) -> None:
    """Give a config with a pretrained network of timm the mean, deviation and colours of its weights, in place.

    Args:
        cfg: not frozen; one with another backbone, or without MODEL.TIMM.WEIGHTS, stays as it is.
    """
    options = cfg.MODEL.TIMM
    if options.WEIGHTS and "build_timm_backbone" in (cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BISENET.CONTEXT_BACKBONE):
        cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = pixel_statistics(options.NAME, options.WEIGHTS)
        cfg.INPUT.FORMAT = "RGB"


def load_pretrained_backbones(model: nn.Module, weights: str) -> None:
    """Give every `TimmBackbone` in a model its pretrained weights, in student and teacher alike.

    Args:
        model: of any kind.
        weights: MODEL.TIMM.WEIGHTS.
    """
    for module in model.modules():
        if isinstance(module, TimmBackbone):
            module.load_pretrained(weights)


def _create_options(in_channels: int, output_stride: int, drop_path: float) -> dict[str, Any]:
    """Options that a network need not know are given only where they differ from what it does without."""
    options: dict[str, Any] = {"in_chans": in_channels}
    if output_stride != FULL_STRIDE:
        options["output_stride"] = output_stride
    if drop_path:
        options["drop_path_rate"] = drop_path
    return options


def _create(name: str, options: dict[str, Any]) -> Any:
    import timm  # half a second, which only its own networks are to cost

    # Networks with windows take images of any size once they are not asked to insist on that of their pretraining.
    any_size: dict[str, Any] = {"strict_img_size": False} if "swin" in name else {}
    try:
        return timm.create_model(name, features_only=True, **any_size, **options)
    except (TypeError, NotImplementedError, AssertionError) as error:
        asked = ", ".join(key for key in options if key != "in_chans") or "features"
        raise RecipeError(f"MODEL.TIMM.NAME = {name!r} cannot be built with {asked}: {error}") from error


def _freeze(network: Any, level: int) -> None:
    from timm.utils import freeze

    freeze(network, _modules_until(network, _module_of_level(network, level)))


def _module_of_level(network: Any, level: int) -> str:
    """Name of the module, as the network holds it, that ends a level, from 1 on."""
    names = network.feature_info.module_name()
    if level > len(names):
        raise RecipeError(f"MODEL.TIMM.FREEZE_AT = {level}, but the network has {len(names)} levels")
    name = str(names[level - 1])
    return name if name in dict(network.named_modules()) else name.replace(".", "_")


def _modules_until(network: nn.Module, end: str) -> list[str]:
    """Names of the modules up to one, that one included, in the order in which they lie in the network."""
    until: list[str] = []
    for name, child in network.named_children():
        if end == name:
            return [*until, name]
        if end.startswith(f"{name}."):
            return [*until, *(f"{name}.{inner}" for inner in _modules_until(child, end[len(name) + 1 :]))]
        until.append(name)
    raise RecipeError(f"MODEL.TIMM.FREEZE_AT: {end} of {type(network).__name__} is no part that can be frozen; use 0")
