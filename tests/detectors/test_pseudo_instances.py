"""A detector's instances on target images, and what the embedding network makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.data.dataset_dicts import load_dataset, target_dicts
from ptseg_d2.data.streams import require_masks, target_stream
from ptseg_d2.detectors.detections import Detections
from ptseg_d2.detectors.detector import Detector
from ptseg_d2.detectors.pseudo_instances import predict_detections, write_detections
from ptseg_d2.modeling.teachers.embedding_teacher import EmbeddingMomentumTeacher
from ptseg_d2.pseudo_labels.instance import detected_instances
from ptseg_d2.recipe.checks import check_stages
from ptseg_d2.recipe.configs import load_recipe
from ptseg_d2.recipe.stage_work import run_stage
from ptseg_d2.runs.image_folders import DETECTIONS
from ptseg_d2.stages import StageInputs

import cv2
import numpy as np
import pytest
import torch
import train_net
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from numpy.typing import NDArray
from tiny import CONFIGS, TINY, small
from torch import Tensor

CAR, PERSON, ROAD = 13, 11, 0
TARGET = "miniscapes_cityscapes_unlabeled_train"
SMALL = "coco_to_cityscapes/selftrain_detector_miniscapes.yaml"


def test_pseudo_instances_by_hand() -> None:
    """Car 3 and person 1 stay, the car of one pixel is ignored, a missed car too; the bus is of another group."""
    detected = torch.tensor([[13003, 13003, 11001, 11001, 15002, 15002, 13004, 0, 0]])
    sem_seg = torch.tensor([[CAR, ROAD, PERSON, PERSON, 15, 15, CAR, CAR, ROAD]])
    found = detected_instances(detected, sem_seg, (CAR, PERSON), min_area=2)
    assert found.tolist() == [[2, 2, 1, 1, 0, 0, -1, -1, 0]]
    assert detected_instances(detected, sem_seg, (17,), 1).tolist() == [[0] * 9]
    assert detected_instances(detected * 0, sem_seg, (CAR,), 1).tolist() == [[-1, 0, 0, 0, 0, 0, -1, -1, 0]]


class LeftHalf(Detector):
    """Finds a car in the left half of everything."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def outputs(self, image: NDArray[np.uint8]) -> Any:
        self.sizes.append(image.shape)
        return image.shape[:2]

    def cityscapes(self, instances: Any, riders: bool | None = None) -> Detections:
        mask = torch.zeros(1, *instances, dtype=torch.bool)
        mask[..., : instances[1] // 2] = True
        return Detections(torch.zeros(1, 4), torch.tensor([CAR]), torch.tensor([0.8]), mask)


@pytest.fixture
def index(masks: Path, tmp_path: Path) -> Path:
    dicts = load_dataset((TARGET,), "test")
    Path(dicts[2]["file_name"]).write_bytes(b"no image")
    write_detections(dicts, LeftHalf(), tmp_path / "found", min_score=0.5, min_share=0.0)
    return tmp_path / "found" / "index.json"


def config(index: Path, masks: Path, *overrides: str) -> CfgNode:
    files = ["INPUT.DETECTIONS", str(index), "INPUT.PREDICTED_MASKS", str(masks)]
    return small(SMALL, *files, "INPUT.CROP_SIZE", "(64, 128)", *overrides)


def test_files_and_an_unreadable_image(index: Path) -> None:
    content = json.loads(index.read_text())
    assert len(content["images"]) == 5 and len(content["skipped"]) == 1
    for entry in content["images"].values():
        mask = cv2.imread(str(index.parent / entry["mask"]), cv2.IMREAD_UNCHANGED)
        assert entry["instances"] == 1 and mask.dtype == np.uint16 and mask.shape == (64, 128)
        assert (mask[:, :64] == 13001).all() and (mask[:, 64:] == 0).all()


def test_detections_follow_the_views(index: Path, masks: Path) -> None:
    """Unflipped whole canvases: the left half of every view; the unreadable image is not drawn."""
    still = ["INPUT.TARGET_FLIP", "0.0", "INPUT.TARGET_CANVAS_FLIP", "0.0", "INPUT.TARGET_PRE_SCALE", "(1.0, 1.0)"]
    cfg = config(index, masks, *still)
    assert len(target_dicts(cfg, StageInputs.from_config(cfg))) == 5
    views = target_stream(cfg, StageInputs.from_config(cfg))[0]["detected_instance_views"]
    assert views.shape == (1, 64, 128) and (views[..., :64] == 13001).all() and (views[..., 64:] == 0).all()


def test_index_of_other_images(index: Path, masks: Path) -> None:
    index.write_text(json.dumps({"images": {}, "skipped": []}))
    with pytest.raises(ValueError, match=r"index.json has no mask of .* and 5 others"):
        target_dicts(config(index, masks), StageInputs(str(masks), detections=str(index)))
    with pytest.raises(FileNotFoundError, match="nowhere.json not found; .*RECIPE.DETECTIONS_FROM"):
        target_dicts(config(index, masks), StageInputs(str(masks), detections="nowhere.json"))


def test_a_stage_that_needs_detections_says_so(masks: Path) -> None:
    with pytest.raises(ValueError, match="DETECTED_ITERS = .* set RECIPE.DETECTIONS_FROM .* or INPUT.DETECTIONS"):
        require_masks(small(SMALL), StageInputs(masks=str(masks)))
    require_masks(small(SMALL, "INSTANCE.DETECTED_ITERS", "0"), StageInputs(masks=str(masks)))


def build(iterations: int) -> EmbeddingMomentumTeacher:
    torch.manual_seed(0)
    model = build_model(small(SMALL, "INSTANCE.DETECTED_ITERS", str(iterations))).train()
    assert isinstance(model, EmbeddingMomentumTeacher)
    return model


def target() -> list[dict[str, Any]]:
    """Two views of 32x64, all car by class; the detector found two."""
    views = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    detected = torch.zeros(2, 32, 64, dtype=torch.int64)
    detected[:, :, :30], detected[:, :, 34:] = 13001, 13002
    classes = torch.full((2, 32, 64), CAR)
    keys = {
        "student_views": views,
        "teacher_views": views,
        "class_mask_views": classes,
        "detected_instance_views": detected,
    }
    return [{**keys, "domain": "target"}]


def step(model: EmbeddingMomentumTeacher) -> dict[str, float]:
    """One training step; the diagnostics."""
    with EventStorage() as storage:
        losses: dict[str, Tensor] = model(target())  # type: ignore[assignment]
        assert all(torch.isfinite(loss) for loss in losses.values())
        return {name: value for name, (value, _) in storage.latest().items()}


def test_detections_first_then_the_teachers_clusters_also_after_a_resume() -> None:
    model = build(2)
    assert step(model) == {"pseudo/detected": 2.0}
    resumed = build(2)
    resumed.load_state_dict(model.state_dict())
    for one in (model, resumed):
        assert set(step(one)) == {"pseudo/detected"}
        assert set(step(one)) == {"pseudo/instances", "pseudo/stability", "pseudo/unstable"}


def test_never() -> None:
    assert "pseudo/detected" not in step(build(0))


def test_a_real_detector_with_random_weights(world: Path, tmp_path: Path) -> None:
    cfg = small(
        "coco_to_cityscapes/mask_rcnn_miniscapes.yaml",
        *("OUTPUT_DIR", str(tmp_path), "MODEL.DETECTOR.MIN_SCORE", "0.0", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"),
    )
    torch.manual_seed(0)
    predict_detections(cfg, build_model(cfg))
    content = json.loads((tmp_path / "target_detections" / "index.json").read_text())
    assert len(content["images"]) == 6 and sum(entry["instances"] for entry in content["images"].values()) > 0


def test_the_recipe_trains_detects_and_learns(world: Path, masks: Path, tmp_path: Path) -> None:
    """The small config with three steps a stage, on true classes in place of a semantic stage."""
    keys = ["INPUT.PREDICTED_MASKS", str(masks), "RECIPE.MASKS_FROM", "", "RECIPE.INIT_FROM", ""]
    needs = ["RECIPE.NEEDS", "['mask_rcnn_miniscapes.yaml']", "INSTANCE.DETECTED_ITERS", "2"]
    rest = ["SOLVER.TARGET_PER_BATCH", "2", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0", "EVAL.REPORT", "True"]
    overrides = [key for key in TINY if key not in ("INSTANCE.GROUPS", "[['car'], ['person', 'rider']]")]
    file = str(CONFIGS / SMALL)
    train_net.main(
        train_net.build_parser().parse_args(
            ["--config-file", file, *overrides, *keys, *needs, *rest, "OUTPUT_DIR", str(tmp_path / "out")]
        )
    )
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["seconds"]) == ["detector_source", "instance_selftrain"]
    assert {"AP", "AP50", "per_class"} <= results["instance"]["detector"].keys()
    metrics = (tmp_path / "out" / "instance_selftrain" / "all" / "metrics.json").read_text()
    assert "pseudo/detected" in metrics
    done = json.loads((tmp_path / "out" / "instance_selftrain" / "all" / "done.json").read_text())
    assert "detector_source" in done["built_on"]
    assert (tmp_path / "out" / "report.html").exists()


def test_somebody_elses_detector(world: Path, tmp_path: Path) -> None:
    """Its stage loads weights and detects; that they are missing is said before any other stage begins."""
    file = CONFIGS / "coco_to_cityscapes" / "mask_rcnn_miniscapes.yaml"
    weights = tmp_path / "zoo.pth"
    keys = ["RECIPE.STAGE", "detector_zoo", "OUTPUT_DIR", str(tmp_path / "out"), "MODEL.WEIGHTS", str(weights)]
    stages = load_recipe(file, [*TINY, *keys])
    with pytest.raises(FileNotFoundError, match="zoo.pth not found"):
        check_stages(stages, 1)
    torch.save({"model": build_model(stages[0].cfg).state_dict()}, weights)
    check_stages(stages, 1)
    run_stage(stages[0], resume=False)
    assert len(json.loads((tmp_path / "out" / "detector_zoo" / DETECTIONS).read_text())["images"]) == 6
    assert (tmp_path / "out" / "detector_zoo" / "model_final.pth").exists()
