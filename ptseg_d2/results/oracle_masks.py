"""Instances inside the true class masks: what an instance network could do with perfect masks ([thesis], table 12.1).

It reads the labels of the test images, so its scores stand in a section of their own that is named oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ptseg_d2.data.labels import read_labels
from ptseg_d2.inference.instance_grouping import InstanceGrouping, PanopticOptions
from ptseg_d2.inference.panoptic_model import merge_instances

import torch
from torch import nn


class OracleMaskModel(nn.Module):
    """A Detectron2 model for `inference_on_dataset` whose classes are the labels of its inputs."""

    def __init__(self, grouping: InstanceGrouping, options: PanopticOptions, device: str = "cpu") -> None:
        """
        Args:
            grouping: separates objects.
            options: sizes for merging.
            device: of the grouping's networks.
        """
        super().__init__()
        self.grouping = grouping
        self.options = options
        self.device = device
        self.eval()

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Per image, a dict of a labelled test set, `panoptic_seg`."""
        outputs = []
        for item in batched_inputs:
            sem_seg = torch.from_numpy(read_labels(item).sem_seg).long().to(self.device)
            instance_ids, scores = self.grouping(item["image"].float(), sem_seg)
            outputs.append({"panoptic_seg": merge_instances(sem_seg, instance_ids, scores, self.options)})
        return outputs
