"""tools/train_net.py: what it checks and sets before the first stage."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from ptseg_d2.errors import RecipeError

import cv2
import numpy as np
import pytest
import torch
import train_net
from tiny import CONFIGS, TINY


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def main(*arguments: str) -> None:
    train_net.main(train_net.build_parser().parse_args(["--config-file", *arguments]))


def test_every_process_sets_its_own_precision() -> None:
    """`launch` spawns processes that call `main` and nothing else."""
    with pytest.raises(FileNotFoundError):
        main("nowhere.yaml")
    assert torch.get_float32_matmul_precision() == "high"


def test_batches_that_do_not_divide_are_found_before_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_net.comm, "get_world_size", lambda: 2)
    overrides = [*TINY, "SOLVER.TARGET_PER_BATCH", "3", "OUTPUT_DIR", str(tmp_path / "out")]
    message = r"stage semantic_selftrain: SOLVER\.TARGET_PER_BATCH = 3 images per step do not divide over 2 processes"
    with pytest.raises(ValueError, match=message):
        main(str(CONFIGS / "semantic_selftrain.yaml"), *overrides)
    assert not (tmp_path / "out").exists()


def test_test_labels_that_are_missing_are_found_before_the_first_stage(world: Path, tmp_path: Path) -> None:
    label = next((world / "cityscapes" / "gtFine" / "val").glob("*/*labelIds.png"))
    label.unlink()
    with pytest.raises(FileNotFoundError, match=label.name):
        main(str(CONFIGS / "semantic_source.yaml"), *TINY, "OUTPUT_DIR", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_test_set_without_labels_is_refused(world: Path, tmp_path: Path) -> None:
    overrides = [
        *TINY,
        "DATASETS.TEST",
        "('miniscapes_cityscapes_unlabeled_train',)",
        "OUTPUT_DIR",
        str(tmp_path / "o"),
    ]
    with pytest.raises(ValueError, match="DATASETS.TEST = .*unlabeled_train.* has no labels to test on"):
        main(str(CONFIGS / "semantic_source.yaml"), *overrides)


def test_options_behind_the_overrides_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--eval-only stands among the KEY VALUE pairs: put options before"):
        main(str(CONFIGS / "semantic_source.yaml"), "SEED", "2", "--eval-only", "OUTPUT_DIR", str(tmp_path))


@pytest.mark.parametrize("flags", [[], ["--eval-only"]])
def test_a_refused_command_leaves_a_finished_run_as_it_is(world: Path, tmp_path: Path, flags: list[str]) -> None:
    """Else tools/demo.py would take the refused settings for those of the run."""
    command = [str(CONFIGS / "semantic_source.yaml"), *flags, *TINY, "OUTPUT_DIR", str(tmp_path / "out")]
    main(*[word for word in command if word not in flags])
    files = [tmp_path / "out" / name for name in ("config.yaml", "command.json")]
    before = [file.read_text() for file in files]
    with pytest.raises(RecipeError, match="was made with other settings .*CONVS_DIM was"):
        main(*command, "MODEL.SEM_SEG_HEAD.CONVS_DIM", "48")
    assert [file.read_text() for file in files] == before


def test_a_command_is_noted_once_its_stages_are_there(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command may be at work in the folder, which refuses this one at the first stage."""

    def refuse(*_: object) -> None:
        raise RecipeError("another command is at it")

    monkeypatch.setattr(train_net, "run_stages", refuse)
    with pytest.raises(RecipeError, match="another command"):
        main(str(CONFIGS / "semantic_source.yaml"), *TINY, "OUTPUT_DIR", str(tmp_path / "out"))
    assert not (tmp_path / "out" / "command.json").exists()


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        (
            "selftrain_icm.yaml",
            ["SOLVER.WARMUP_ITERS", "3"],
            "stage semantic_source: SOLVER.WARMUP_ITERS = 3 must be below SOLVER.MAX_ITER = 3",
        ),
        (
            "instance_source.yaml",
            ["DATASETS.VALIDATION", "('miniscapes_synthia_labeled_train',)"],
            "SemanticNetwork of stage semantic_source has no validation loss",
        ),
        (
            "panoptic_unet/miniscapes.yaml",
            ["DATASETS.VALIDATION", "('miniscapes_cityscapes_labeled_val',)"],
            "DATASETS.VALIDATION = .* holds labels of the target domain",
        ),
        (
            "semantic_adapted.yaml",
            ["DATASETS.TARGET", "('cityscapes_unlabeled_train',)"],
            "cityscapes/leftImg8bit/train",
        ),
    ],
)
def test_what_would_end_a_stage_is_found_before_the_first(
    world: Path, tmp_path: Path, config: str, overrides: list[str], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main(str(CONFIGS / config), *TINY, *overrides, "OUTPUT_DIR", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_data_of_a_finished_stage_may_be_gone(world: Path, tmp_path: Path) -> None:
    command = [str(CONFIGS / "semantic_source.yaml"), *TINY, "OUTPUT_DIR", str(tmp_path / "out")]
    main(*command)
    shutil.rmtree(world / "synthia" / "RAND_CITYSCAPES" / "RGB")
    main(*command)


def test_folders_without_an_object_are_refused(tmp_path: Path) -> None:
    for folder in ("A", "B"):
        for part in ("images", "labels"):
            (tmp_path / folder / part).mkdir(parents=True)
            for number in range(3):
                assert cv2.imwrite(str(tmp_path / folder / part / f"{number}.png"), np.zeros((40, 48), np.uint8))
    folders = ["--source-folder", str(tmp_path / "A"), "--target-folder", str(tmp_path / "B")]
    command = ["--config-file", str(CONFIGS / "nuclei" / "source.yaml"), *folders, *TINY, "INSTANCE.GROUPS", "[]"]
    with pytest.raises(ValueError, match="no label of folder_source_labeled_train shows an object"):
        train_net.main(train_net.parse_arguments([*command, "OUTPUT_DIR", str(tmp_path / "out")]))
    assert not (tmp_path / "out" / "semantic_source").exists()


def test_evaluating_an_unfinished_run_leaves_its_config(world: Path, tmp_path: Path) -> None:
    finished = [*TINY, "OUTPUT_DIR", str(tmp_path / "out")]
    main(str(CONFIGS / "semantic_source.yaml"), *finished)
    before = (tmp_path / "out" / "config.yaml").read_text()
    with pytest.raises(RecipeError, match="semantic_adapted is not finished"):
        main(str(CONFIGS / "semantic_adapted.yaml"), "--eval-only", *finished)
    assert (tmp_path / "out" / "config.yaml").read_text() == before
