"""tools/evaluate_transfer.py on a tiny world with random weights, and with a detector that knows the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ptseg_d2.classes.coco import CITYSCAPES_THINGS
from ptseg_d2.classes.streets import TRAIN_TO_CITYSCAPES
from ptseg_d2.data.dataset_dicts import load_dataset
from ptseg_d2.data.image_files import read_image
from ptseg_d2.detectors.coco_instances import register_coco_folder
from ptseg_d2.detectors.detector import Detector
from ptseg_d2.detectors.transfer import evaluate_on_cityscapes, evaluate_on_coco
from ptseg_d2.detectors.transfer_pictures import truth_detections
from ptseg_d2.evaluation.ground_truth import GroundTruthCache
from ptseg_d2.evaluation.instance_ap import OFFICIAL_MIN_REGION_SIZE

import cv2
import evaluate_transfer
import export_coco_instances
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from numpy.typing import NDArray
from official_cityscapes import official_instance_scores
from tiny import CONFIGS, NARROW

VAL = "miniscapes_cityscapes_labeled_val"
SMALL = str(CONFIGS / "coco_to_cityscapes" / "mask_rcnn_miniscapes.yaml")
QUICK = ["--opts", *NARROW, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0", "TEST.DETECTIONS_PER_IMAGE", "5"]


@pytest.fixture
def coco(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The validation images as a COCO folder: --coco-json FILE --coco-images FOLDER, as the export prints it."""
    export_coco_instances.run(["--dataset", VAL, "--output", str(tmp_path / "coco")])
    return capsys.readouterr().out.splitlines()[-1].split()


def content(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "transfer.json").read_text())
    return result


def test_random_weights_go_the_whole_way(coco: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    arguments = ["--output", str(output), "--riders", "--cityscapes", VAL, "--num-pictures"]
    evaluate_transfer.run([*arguments, "0", "--detector", "A", SMALL, "random", *QUICK])
    first = content(output)
    evaluate_transfer.run([*arguments, "1", *coco, "--detector", "B", SMALL, *QUICK])
    both = content(output)
    assert both["detectors"]["A"] == first["detectors"]["A"]  # an earlier command's rows stay
    assert set(both["detectors"]) == {"A", "B"} and both["class_map"]["rider"].startswith("none")
    entry = both["detectors"]["B"]
    assert list(entry["cityscapes"][VAL]["scores"]) == ["", ", riders by rule"]
    scores = entry["cityscapes"][VAL]["scores"][""]
    assert list(scores["per_class"]) == list(CITYSCAPES_THINGS) and scores["num_predicted"] > 0
    (of_coco,) = entry["coco"].values()
    assert set(of_coco["segm"]) == {"AP", "AP50", "AP75", "APs", "APm", "APl"} and of_coco["images"] == 3
    assert of_coco["classes_not_predicted"] == ["rider"] and entry["weights"] == "random, seed 1"
    table = capsys.readouterr().out
    assert "| rider       |" in table and "the report's PointRend" in table and "39.2 / 49.0" in table
    (picture,) = (output / "pictures").iterdir()
    assert min(cv2.imread(str(picture)).shape[:2]) > 500


def test_missing_weights_name_the_file_and_the_others_are_evaluated(world: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["--output", str(output), "--cityscapes", VAL, "--num-pictures", "0"]
    nowhere = str(tmp_path / "nowhere.pth")
    with pytest.raises(SystemExit, match=r"error: absent: weights .*nowhere.pth not found.*MODEL.WEIGHTS"):
        evaluate_transfer.run([*arguments, "--detector", "absent", SMALL, nowhere, "--detector", "A", SMALL, *QUICK])
    assert list(content(output)["detectors"]) == ["A"]


def test_an_unreadable_image_is_named_and_the_rest_evaluated(world: Path, coco: list[str], tmp_path: Path) -> None:
    bad = Path(load_dataset((VAL,), "test")[1]["file_name"])
    bad.write_bytes(bad.read_bytes()[:200])
    arguments = ["--output", str(tmp_path / "out"), "--cityscapes", VAL, "--num-pictures", "0", *coco]
    with pytest.raises(SystemExit, match=rf"left out: {bad}"):
        evaluate_transfer.run([*arguments, "--detector", "A", SMALL, *QUICK])
    entry = content(tmp_path / "out")["detectors"]["A"]
    for scores in (entry["cityscapes"][VAL], *entry["coco"].values()):
        assert scores["images"] == 2 and str(bad) in scores["unreadable"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detector", "A"], "--detector A: expected NAME CONFIG"),
        (["--detector", "A", SMALL, "--detector", "A", SMALL], "two detectors are called 'A'"),
        (["--detector", "A", "nowhere.yaml"], "config nowhere.yaml of A is neither a file nor a name of .*model zoo"),
        (["--cityscapes", "streets"], "data set 'streets' is not registered; for --cityscapes there are .*labeled_val"),
        (["--coco-json", "a.json"], "--coco-json and --coco-images belong together"),
        (["--coco-json", "a.json", "--coco-images", "."], "a.json not found"),
        (
            ["--detector", "A", SMALL, "--cityscapes", "miniscapes_cityscapes_unlabeled_train"],
            "unlabeled_train has no labels",
        ),
        (
            ["--detector", "A", SMALL, "--coco", VAL],
            f"--coco {VAL} has no annotations in COCO's format: make them with",
        ),
        (["--detector", "A", SMALL, "--coco", "coco_2017_val"], "annotations of coco_2017_val are missing"),
    ],
)
def test_arguments_that_lead_nowhere(world: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        evaluate_transfer.run(["--output", str(tmp_path), *arguments, *([] if "--coco-json" in arguments else QUICK)])


def test_another_detector_of_a_known_name_is_refused(world: Path, tmp_path: Path) -> None:
    """Scores that are there are not lost."""
    detectors = {"A": {"config": "other.yaml", "weights": "w.pth", "coco": {}}}
    (tmp_path / "transfer.json").write_text(json.dumps({"detectors": detectors}))
    with pytest.raises(
        SystemExit,
        match=r"A: .*another detector of this name, other.yaml \(w.pth\), and this one is .*; choose another",
    ):
        evaluate_transfer.run(["--output", str(tmp_path), "--cityscapes", VAL, "--detector", "A", SMALL, *QUICK])
    assert content(tmp_path)["detectors"] == detectors


def test_other_settings_need_another_name(world: Path, tmp_path: Path) -> None:
    arguments = ["--output", str(tmp_path), "--cityscapes", VAL, "--num-pictures", "0", "--detector", "A", SMALL]
    evaluate_transfer.run([*arguments, *QUICK])
    before = content(tmp_path)
    evaluate_transfer.run([*arguments, *QUICK, "MODEL.DEVICE", "cpu"])  # the same again
    with pytest.raises(SystemExit, match="A: .*another detector of this name, .* and this one is .*MIN_SIZE_TEST 64"):
        evaluate_transfer.run([*arguments, *QUICK, "INPUT.MIN_SIZE_TEST", "64"])
    assert set(content(tmp_path)["detectors"]["A"]) == set(before["detectors"]["A"])


def test_a_network_that_is_no_detector(world: Path, tmp_path: Path) -> None:
    arguments = ["--output", str(tmp_path), "--cityscapes", VAL, "--detector", "A", str(CONFIGS / "einet.yaml")]
    with pytest.raises(SystemExit, match="A on .*EINet predicts sem_seg, panoptic_seg and no instances: it is no"):
        evaluate_transfer.run([*arguments, "random"])


def test_a_transfer_file_that_is_none(world: Path, tmp_path: Path) -> None:
    (tmp_path / "transfer.json").write_text("{")
    with pytest.raises(SystemExit, match="transfer.json is no JSON file"):
        evaluate_transfer.run(["--output", str(tmp_path), "--cityscapes", VAL, "--detector", "A", SMALL, *QUICK])


class Truth(Detector):
    """Answers with the labels, riders being persons as in COCO."""

    class_names = ("person", "bicycle", "car", "motorcycle", "bus", "train", "truck")
    train_ids = torch.tensor([11, 18, 13, 17, 15, 16, 14])

    def __init__(self) -> None:
        self.riders = False
        truths = GroundTruthCache()
        self.truth_of = {read_image(d["file_name"]).tobytes(): truths.read(d) for d in load_dataset((VAL,), "test")}

    def outputs(self, image: NDArray[np.uint8]) -> Any:
        objects = truth_detections(self.truth_of[image.tobytes()])
        classes = torch.where(objects.classes == 12, 11, objects.classes)
        return Instances(
            image.shape[:2],
            pred_boxes=Boxes(objects.boxes),
            pred_classes=(classes[:, None] == self.train_ids).int().argmax(1),
            scores=objects.scores,
            pred_masks=objects.masks,
        )


def test_the_truth_scores_100_but_for_riders(world: Path, coco: list[str]) -> None:
    """On COCO's side the file has riders, which no output is."""
    detector = Truth()
    rules = {"as it is": False, "rule": True}
    scores = evaluate_on_cityscapes(detector, VAL, rules)["scores"]
    plain, ruled = (scores[name]["per_class"] for name in rules)
    assert plain["car"]["AP"] == pytest.approx(100) and plain["bicycle"]["AP"] in (None, pytest.approx(100))
    assert plain["rider"]["num_predicted"] == 0
    assert ruled["rider"]["num_predicted"] >= ruled["rider"]["num_matched"]
    found = evaluate_on_coco(detector, register_coco_folder(coco[1], coco[3]))
    assert found["classes_not_predicted"] == ["rider"] and found["segm"]["AP"] > 50


class Blurred(Truth):
    """The truth twice over, moved by some pixels; scores often equal."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def outputs(self, image: NDArray[np.uint8]) -> Any:
        once = super().outputs(image)
        twice = Instances.cat([once, once]) if len(once) else once
        moved = [np.roll(m.numpy(), self.rng.integers(-2, 3, 2), axis=(0, 1)) for m in twice.pred_masks]
        if moved:
            twice.pred_masks = torch.from_numpy(np.stack(moved))
        twice.scores = torch.from_numpy(self.rng.random(len(twice)).round(1))
        return twice


@pytest.mark.parametrize("seed", range(2))
def test_the_official_script_on_the_label_files(world: Path, tmp_path: Path, seed: int) -> None:
    dicts = load_dataset((VAL,), "test")
    ours = evaluate_on_cityscapes(Blurred(seed), VAL, {"": False})["scores"][""]
    detector, predictions = Blurred(seed), []
    for item in dicts:
        found = detector.cityscapes(detector.outputs(read_image(item["file_name"])))
        lines = []
        for number, (mask, class_id, score) in enumerate(
            zip(found.masks, found.classes.tolist(), found.scores.tolist())
        ):
            name = f"{item['image_id']}_{number}.png"
            cv2.imwrite(str(tmp_path / name), mask.numpy().astype(np.uint8) * 255)
            lines.append(f"{name} {TRAIN_TO_CITYSCAPES[class_id]} {score!r}")
        predictions.append(str(tmp_path / f"{item['image_id']}.txt"))
        Path(predictions[-1]).write_text("\n".join(lines))
    truths = [item["instance_file_name"] for item in dicts]
    official = official_instance_scores(tmp_path, predictions, truths, OFFICIAL_MIN_REGION_SIZE)
    for name, theirs in official["classes"].items():
        for key, their_key in (("AP", "ap"), ("AP50", "ap50%")):
            value, expected = ours["per_class"][name][key], 100 * float(theirs[their_key])
            assert np.isnan(expected) if value is None else value == pytest.approx(expected, abs=1e-6), (name, key)
    assert ours["AP"] == pytest.approx(100 * official["allAp"], abs=1e-6) and 1 < ours["AP"] < 99
