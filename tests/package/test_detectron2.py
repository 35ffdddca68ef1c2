"""Detectron2 0.6 as a whole, with today's libraries: it trains, resumes, predicts and draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode, get_cfg
from detectron2.data import MetadataCatalog, build_detection_train_loader
from detectron2.engine import DefaultPredictor, DefaultTrainer, default_argument_parser, default_setup
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.utils.visualizer import Visualizer
from torch import nn
from toy import squares


@META_ARCH_REGISTRY.register()
class OneConvolution(nn.Module):
    """The smallest trainable semantic segmentor: three classes from three channels."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, kernel_size=1)

    def forward(self, batch: list[dict[str, Any]]) -> Any:
        logits = self.conv(torch.stack([sample["image"] for sample in batch]).float() / 255)
        if self.training:
            return {"loss_square": logits.square().mean()}
        return [{"sem_seg": one} for one in logits]


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[str]:
    """A registered data set of two images, see `squares`."""
    with squares(tmp_path) as name:
        yield name


@pytest.fixture
def toy_cfg(toy: str, tmp_path: Path) -> CfgNode:
    """Two iterations of `OneConvolution` on the toy data, on the CPU."""
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE = "OneConvolution", "cpu"
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (toy,), (toy,)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (8,), 8
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = 0, 2
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 2, (), 1
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    return cfg


def test_training_resumes_and_predicts(toy_cfg: CfgNode) -> None:
    arguments = default_argument_parser().parse_args(["--num-gpus", "0"])
    default_setup(toy_cfg, arguments)
    trainer = DefaultTrainer(toy_cfg)
    trainer.resume_or_load(resume=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefaultTrainer, "test", classmethod(lambda cls, cfg, model: {}))
        trainer.train()
    output = Path(toy_cfg.OUTPUT_DIR)
    assert {"config.yaml", "log.txt", "metrics.json", "model_final.pth"} <= {path.name for path in output.iterdir()}
    assert list(output.glob("events.out.tfevents*"))
    assert json.loads((output / "metrics.json").read_text().splitlines()[-1])["iteration"] == 1

    resumed = DefaultTrainer(toy_cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 2
    assert torch.equal(resumed.model.conv.weight, trainer.model.conv.weight)

    toy_cfg.MODEL.WEIGHTS = str(output / "model_final.pth")
    black = np.zeros((8, 12, 3), np.uint8)
    sem_seg = DefaultPredictor(toy_cfg)(black)["sem_seg"]
    assert torch.equal(sem_seg[:, 0, 0], trainer.model.conv.bias)  # a black pixel shows the bias


def test_detection_loader_reads_masks(toy_cfg: CfgNode) -> None:
    toy_cfg.MODEL.MASK_ON = True
    sample = next(iter(build_detection_train_loader(toy_cfg)))[0]
    assert sample["image"].shape == (3, 8, 12)
    assert sample["instances"].gt_masks.area().tolist() == [16]


def test_mask_rcnn_runs_on_cpu() -> None:
    """torchvision's RoIAlign and NMS stand behind Detectron2's own; a narrow ResNet-18 keeps it quick."""
    cfg = model_zoo.get_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml")
    cfg.MODEL.DEVICE, cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = "cpu", 18, 64
    cfg.MODEL.FPN.OUT_CHANNELS, cfg.MODEL.ROI_BOX_HEAD.FC_DIM, cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 16, 16, 16
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST, cfg.MODEL.ROI_HEADS.NUM_CLASSES = 20, 2
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST, cfg.TEST.DETECTIONS_PER_IMAGE = 0.0, 5
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    with torch.no_grad():
        (output,) = model([{"image": torch.full((3, 64, 96), 128), "height": 32, "width": 48}])
    assert output["instances"].pred_masks.shape == (5, 32, 48)


def test_panoptic_drawing_colors_its_segments(toy: str) -> None:
    black, ids = np.zeros((40, 60, 3), np.uint8), torch.zeros(40, 60, dtype=torch.int32)
    ids[:, 30:] = 1
    segments = [{"id": 1, "category_id": 1, "isthing": False, "area": 40 * 30}]
    metadata = MetadataCatalog.get(toy).set(stuff_colors=[[0, 0, 255], [255, 0, 0], [0, 255, 0]])
    drawn = Visualizer(black, metadata).draw_panoptic_seg(ids, segments).get_image()
    assert drawn.shape == black.shape
    assert not drawn[2:8, 2:28].any()
    assert (drawn[2:8, 32:58] > 100).all(axis=(0, 1)).tolist() == [True, False, False]  # above the label: red
