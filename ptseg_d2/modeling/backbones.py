"""A ResNet of free width that runs from random weights on small images."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicBlock, ResNet
from torch import Tensor, nn

BLOCKS_PER_STAGE = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class FineStem(CNNBlockBase):
    """Two 3x3 convolutions at stride 2, without the pooling that hides small objects of small images."""

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__(in_channels, out_channels, 2)
        self.conv1 = _conv(in_channels, out_channels, 2, norm)
        self.conv2 = _conv(out_channels, out_channels, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2)."""
        return self.conv2(self.conv1(x))


@BACKBONE_REGISTRY.register()
def build_compact_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """ResNet-10/18/34 of basic blocks with strides 2 (stem), 4, 8, 16, 32 and the width cfg asks for.

    Detectron2's own builder insists on 64 channels and a pooled stem for these depths. With
    MODEL.RESNETS.RES5_DILATION = 2 the last stage keeps stride 16.
    """
    options = cfg.MODEL.RESNETS
    if options.DEPTH not in BLOCKS_PER_STAGE:
        raise ValueError(f"MODEL.RESNETS.DEPTH = {options.DEPTH}; expected one of {sorted(BLOCKS_PER_STAGE)}")
    in_channels, out_channels = options.STEM_OUT_CHANNELS, options.RES2_OUT_CHANNELS
    stem = FineStem(input_shape.channels or 3, in_channels, options.NORM)
    stages = []
    for index, num_blocks in enumerate(BLOCKS_PER_STAGE[options.DEPTH]):
        dilated = index == 3 and options.RES5_DILATION == 2
        strides = [1 if dilated else 2] + [1] * (num_blocks - 1)
        stages.append(
            ResNet.make_stage(
                BasicBlock,
                num_blocks,
                stride_per_block=strides,
                in_channels=in_channels,
                out_channels=out_channels,
                norm=options.NORM,
            )
        )
        in_channels, out_channels = out_channels, out_channels * 2
    return ResNet(stem, stages, out_features=options.OUT_FEATURES)


def _conv(in_channels: int, out_channels: int, stride: int, norm: str) -> Conv2d:
    return Conv2d(
        in_channels,
        out_channels,
        3,
        stride=stride,
        padding=1,
        bias=False,
        norm=get_norm(norm, out_channels),
        activation=nn.functional.relu,
    )
