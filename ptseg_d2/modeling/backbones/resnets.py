"""[ResNet] of basic blocks: a compact one for small images and random weights, a dilated one for ImageNet weights."""

from __future__ import annotations

from typing import Any

from ptseg_d2.modeling.layers import conv_norm_relu

from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet
from torch import Tensor
from torch.nn import functional as F

BLOCKS_PER_STAGE = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class FineStem(CNNBlockBase):
    """Two 3x3 convolutions at stride 2, without the pooling that hides small objects of small images."""

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__(in_channels, out_channels, 2)
        self.conv1 = conv_norm_relu(in_channels, out_channels, 3, norm, stride=2)
        self.conv2 = conv_norm_relu(out_channels, out_channels, 3, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2)."""
        return self.conv2(self.conv1(x))


class DilatedBasicBlock(BasicBlock):
    """Detectron2's basic block with dilated 3x3 convolutions; the same parameters under the same names."""

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1, norm: str = "BN"
    ) -> None:
        super().__init__(in_channels, out_channels, stride=stride, norm=norm)
        for convolution in (self.conv1, self.conv2):
            convolution.dilation = convolution.padding = (dilation, dilation)


class UnpooledStem(BasicStem):
    """The stem of ImageNet's ResNets without its pooling: a U-Net's skip at stride 2."""

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__(in_channels, out_channels, norm)
        self.stride = 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2)."""
        return F.relu_(self.conv1(x))


class PoolingBasicBlock(DilatedBasicBlock):
    """A basic block behind the pooling that `UnpooledStem` left out; the same parameters under the same names."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.stride *= 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, out_channels, h / 2, w / 2)."""
        return super().forward(F.max_pool2d(x, kernel_size=3, stride=2, padding=1))


@BACKBONE_REGISTRY.register()
def build_unet_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """ResNet-18/34 that ImageNet weights fit, with the feature "stem" at stride 2, before the pooling."""
    options = cfg.MODEL.RESNETS
    _check_depth(options.DEPTH, [18, 34])
    _check_first_width(options)
    stem = UnpooledStem(input_shape.channels or 3, options.STEM_OUT_CHANNELS, options.NORM)
    stages = _basic_stages(options, strides=(1, 2, 2, 2))
    pooling = PoolingBasicBlock(options.STEM_OUT_CHANNELS, options.RES2_OUT_CHANNELS, stride=1, norm=options.NORM)
    stages[0] = [pooling, *stages[0][1:]]
    return ResNet(stem, stages, out_features=options.OUT_FEATURES, freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT)


@BACKBONE_REGISTRY.register()
def build_compact_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """ResNet-10/18/34 of basic blocks with strides 2 (stem), 4, 8, 16, 32 and the width cfg asks for.

    Detectron2's own builder insists on 64 channels and a pooled stem for these depths. With
    MODEL.RESNETS.RES5_DILATION = 2 the last stage keeps stride 16 and sees as far by dilation.
    """
    options = cfg.MODEL.RESNETS
    _check_depth(options.DEPTH, sorted(BLOCKS_PER_STAGE))
    if options.RES2_OUT_CHANNELS == options.STEM_OUT_CHANNELS:
        # Detectron2's block projects its shortcut, and with that strides it, only where the width changes.
        raise ValueError(
            f"MODEL.RESNETS.RES2_OUT_CHANNELS = STEM_OUT_CHANNELS = {options.STEM_OUT_CHANNELS}; the compact ResNet "
            "halves the resolution between the two, so give them different widths"
        )
    stem = FineStem(input_shape.channels or 3, options.STEM_OUT_CHANNELS, options.NORM)
    is_atrous = options.RES5_DILATION == 2
    stages = _basic_stages(options, (2, 2, 2, 1 if is_atrous else 2), (1, 1, 1, 2 if is_atrous else 1))
    return ResNet(stem, stages, out_features=options.OUT_FEATURES)


@BACKBONE_REGISTRY.register()
def build_compact_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Detectron2's feature pyramid ([FPN]) of MODEL.FPN on `build_compact_resnet_backbone`: p2 to p6 of a detector."""
    return FPN(
        bottom_up=build_compact_resnet_backbone(cfg, input_shape),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


@BACKBONE_REGISTRY.register()
def build_dilated_basic_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """ResNet-18/34 as Detectron2's own, with the dilations of its DeepLab builder, which knows bottleneck blocks only.

    MODEL.RESNETS.RES4_DILATION and RES5_DILATION above 1 dilate the 3x3 convolutions of a stage and take away its
    stride. RES5_MULTI_GRID, one factor for each of a deeper network's three last blocks, has no meaning here.
    """
    options = cfg.MODEL.RESNETS
    _check_depth(options.DEPTH, [18, 34])
    _check_first_width(options)
    dilations = (1, 1, options.RES4_DILATION, options.RES5_DILATION)
    if dilations[2:] not in ((1, 1), (1, 2), (1, 4), (2, 4)):
        raise ValueError(
            f"MODEL.RESNETS.RES4_DILATION, RES5_DILATION = {dilations[2]}, {dilations[3]}; expected 1, 1 (output "
            "stride 32), 1, 2 or 1, 4 (16), or 2, 4 (8)"
        )
    stem = BasicStem(input_shape.channels or 3, options.STEM_OUT_CHANNELS, options.NORM)
    stages = _basic_stages(options, (1, 2, *(2 if dilation == 1 else 1 for dilation in dilations[2:])), dilations)
    return ResNet(stem, stages, out_features=options.OUT_FEATURES, freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT)


def _check_depth(depth: int, known: list[int]) -> None:
    if depth not in known:
        raise ValueError(f"MODEL.RESNETS.DEPTH = {depth}; expected one of {known}")


def _check_first_width(options: CfgNode) -> None:
    if options.RES2_OUT_CHANNELS != options.STEM_OUT_CHANNELS:
        raise ValueError(
            f"MODEL.RESNETS.RES2_OUT_CHANNELS = {options.RES2_OUT_CHANNELS}; ResNet-{options.DEPTH} has as many as "
            f"STEM_OUT_CHANNELS = {options.STEM_OUT_CHANNELS}"
        )


def _basic_stages(
    options: CfgNode, strides: tuple[int, ...], dilations: tuple[int, ...] = (1, 1, 1, 1)
) -> list[list[CNNBlockBase]]:
    """The four stages of MODEL.RESNETS; each is twice as wide as the one before.

    Args:
        options: MODEL.RESNETS.
        strides: of the first block of each stage.
        dilations: of all blocks of each stage.
    """
    in_channels, out_channels = options.STEM_OUT_CHANNELS, options.RES2_OUT_CHANNELS
    stages = []
    for num_blocks, stride, dilation in zip(BLOCKS_PER_STAGE[options.DEPTH], strides, dilations):
        stages.append(
            ResNet.make_stage(
                DilatedBasicBlock,
                num_blocks,
                stride_per_block=[stride] + [1] * (num_blocks - 1),
                in_channels=in_channels,
                out_channels=out_channels,
                dilation=dilation,
                norm=options.NORM,
            )
        )
        in_channels, out_channels = out_channels, out_channels * 2
    return stages
