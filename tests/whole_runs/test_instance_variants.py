"""Workflows of the instance branch on a tiny world: shared stages, groups side by side, source fractions, MIX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptseg_d2.classes.streets import CITYSCAPES

import cv2
import pytest
import torch
import train_net
from tiny import CONFIGS, TINY

GROUPS = ("car", "person+rider")
RIDER, CAR = CITYSCAPES.ids(["rider", "car"])
BATCH = TINY.index("SOLVER.SOURCE_PER_BATCH")
SMALL = [*TINY[:BATCH], *TINY[BATCH + 2 :]]
"""The configs keep their own images per batch."""


def run(config: str, root: Path, *overrides: str, flags: tuple[str, ...] = (), name: str = "") -> dict[str, Any]:
    """tools/train_net.py with a config of configs/instance, on stages in root/shared; returns results.json."""
    output = root / (name or config)
    own = [*SMALL, "RECIPE.NEEDS_DIR", str(root / "shared"), "OUTPUT_DIR", str(output), *overrides]
    command = ["--config-file", str(CONFIGS / "instance" / f"{config}.yaml"), *flags, *own]
    train_net.main(train_net.build_parser().parse_args(command))
    results: dict[str, Any] = json.loads((output / "results.json").read_text())
    return results


@pytest.fixture(scope="module")
def shared(drawn_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which icm_25 has run, with the stages that the others share."""
    root = tmp_path_factory.mktemp("variants")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(drawn_world))
        patch.setenv("OMP_NUM_THREADS", "1")
        run("icm_25", root)
        yield root


def times(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*.pth")}


def test_shared_stages_run_once_and_the_asked_one_is_apart(shared: Path) -> None:
    assert sorted(path.name for path in (shared / "icm_25").glob("*_*") if path.is_dir()) == [
        "coco_panoptic",
        "instance_selftrain",
    ]
    before = times(shared / "shared")
    assert len(before) >= 5
    results = run("base_25", shared)
    assert times(shared / "shared") == before
    assert sorted(results["panoptic"]) == ["selftrain", "source"]
    assert run("base_25", shared, flags=("--eval-only",)) == results


def test_ccm_beside_the_shared_source_stage(shared: Path) -> None:
    """Source models of the groups lie beside the one of all classes, and the self-training starts from them."""
    before = times(shared / "shared")
    results = run("ccm_25", shared)
    after = times(shared / "shared")
    assert before.items() <= after.items()
    for stage in ("instance_source", "instance_adapted"):
        assert (shared / "shared" / stage / "done.json").exists()
        assert all((shared / "shared" / stage / group / "done.json").exists() for group in GROUPS)
    for group in GROUPS:
        done = json.loads((shared / "ccm_25" / "instance_selftrain" / group / "done.json").read_text())
        assert sorted(done["built_on"]) == [f"instance_adapted/{group}", "semantic_selftrain"]
    assert results["seconds"]["instance_source"] > 0 and sorted(results["instance"]) == [
        *("adapted", "adapted_thresholded", "components", "selftrain", "source", "source_thresholded")
    ]
    assert run("ccm_25", shared) == results


def test_no_source_image_in_self_training(shared: Path) -> None:
    results = run("all_0", shared, "INSTANCE.GROUPS", "[]")
    lines = (shared / "all_0" / "instance_selftrain" / "all" / "metrics.json").read_text().splitlines()
    losses = {name for name in json.loads(lines[-1]) if name.startswith("loss_")}
    assert losses and all(name.endswith("_target") for name in losses)
    assert "selftrain" in results["panoptic"]


def test_a_failed_process_is_named_with_its_log_and_repeated_alone(shared: Path) -> None:
    """The checkpoint of the first group cannot be written."""
    blocked = shared / "icm_50" / "instance_selftrain" / "car" / "model_final.pth"
    blocked.mkdir(parents=True)
    with pytest.raises(train_net.RecipeError, match=r"1 of 2 groups .*\n  instance_selftrain/car: see .*console\.txt"):
        run("icm_50", shared, flags=("--num-groups-at-once", "2"))
    assert "Traceback" in (blocked.parent / "console.txt").read_text()
    other = shared / "icm_50" / "instance_selftrain" / "person+rider"
    assert "Starting training" in (other / "log.txt").read_text()
    finished = times(other)
    blocked.rmdir()
    run("icm_50", shared, flags=("--num-groups-at-once", "2"))
    assert times(other) == finished != {}


def test_submitit_on_this_machine(shared: Path) -> None:
    results = run("icm_75", shared, flags=("--submitit", "local"))
    assert "selftrain" in results["instance"]
    assert len(list((shared / "icm_75" / "instance_selftrain" / "submitit").glob("*_result.pkl"))) == len(GROUPS)


def test_mix_of_two_runs(shared: Path) -> None:
    run("all_25", shared, "INSTANCE.GROUPS", "[]")
    runs = [str(shared / name / "instance_selftrain") for name in ("all_25", "icm_25")]
    results = run("mix", shared, "INSTANCE.MIX_FROM", str(runs))
    choice = json.loads((shared / "mix" / "instance_mix" / "choice.json").read_text())
    assert len(choice) == 8
    assert sorted(choice["rider"]["scores"]) == runs and list(choice["train"]["scores"]) == [runs[0]]
    assert choice["train"]["group"] == "all"
    assert sorted(results["panoptic"]) == ["mix"] and sorted(results["instance"]) == ["components", "mix"]


def test_mix_by_labels(shared: Path) -> None:
    run_folder = str(shared / "icm_25" / "instance_selftrain")
    overrides = ("INSTANCE.MIX_FROM", str([run_folder]), "INSTANCE.MIX_BY", "oracle")
    results = run("mix", shared, *overrides, name="mix_by_labels")
    assert sorted(results["panoptic"]) == ["mix_oracle"]
    # Both branches of the mix are those of icm_25, for the classes that it has.
    whole = json.loads((shared / "icm_25" / "results.json").read_text())["instance"]["selftrain"]["per_class"]
    mixed = results["instance"]["mix_oracle"]["per_class"]
    assert [mixed[name] for name in ("car", "person", "rider")] == [whole[name] for name in ("car", "person", "rider")]


def test_classes_that_nobody_predicted_keep_their_start(shared: Path, tmp_path: Path) -> None:
    """Cars are taken out of the predicted masks; the run, its evaluation and a mix of it go on."""
    shutil.copytree(shared / "shared", tmp_path / "shared")
    masks = tmp_path / "shared" / "semantic_selftrain" / "target_masks"
    content = json.loads((masks / "index.json").read_text())
    for image in content["images"].values():
        image["class_shares"][CAR] = 0.0
        image["class_shares"][RIDER] += 0.1  # so that the other group is trained, whatever the tiny network predicts
        mask = cv2.imread(str(masks / image["mask"]), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        mask[mask == CAR] = 0
        mask[:10, :40] = RIDER
        cv2.imwrite(str(masks / image["mask"]), mask)
    (masks / "index.json").write_text(json.dumps(content))
    results = run("icm_25", tmp_path)
    folder = tmp_path / "icm_25" / "instance_selftrain"
    done = {name: json.loads((folder / name / "done.json").read_text()) for name in GROUPS}
    assert [done[name]["trained"] for name in GROUPS] == [False, True]
    start, kept = (
        torch.load(path / "model_final.pth", weights_only=False)["model"]
        for path in (tmp_path / "shared" / "instance_adapted", folder / "car")
    )
    for role in ("student", "teacher"):
        assert all(torch.equal(torch.as_tensor(start[n]), torch.as_tensor(kept[f"{role}.{n}"])) for n in start)
    assert len(kept) == 2 * len(start) + 1  # and the number of steps
    assert "car" in results["instance"]["selftrain"]["per_class"]
    mixed = run("mix", tmp_path, "INSTANCE.MIX_FROM", str([str(folder)]))
    assert "mix" in mixed["panoptic"]
    choice = json.loads((tmp_path / "mix" / "instance_mix" / "choice.json").read_text())
    assert list(choice["car"]["scores"].values()) == [{"value": None, "instances": 0}]


def test_arguments_that_contradict_each_other() -> None:
    for flags, message in {
        ("--num-groups-at-once", "2", "--num-gpus", "2"): "choose between them",
        ("--num-groups-at-once", "0"): "expected 1 or more",
        ("--slurm-option", "time=3"): "is for --submitit slurm",
        ("--submitit", "local", "--num-machines", "2"): "choose between them",
        ("--submitit", "local", "--num-groups-at-once", "2"): "starts all groups at once",
        ("--group", "instance_selftrain/car", "--eval-only"): "--group trains one group and nothing else",
        ("--group", "instance_selftrain/car", "--submitit", "local"): "--group trains one group and nothing else",
        ("--group", "instance_selftrain/car", "--num-groups-at-once", "2"): "--group trains one group and nothing",
    }.items():
        with pytest.raises(ValueError, match=message):
            train_net.build_launcher(train_net.build_parser().parse_args(list(flags)))
    assert train_net.build_launcher(train_net.build_parser().parse_args([])) is None
