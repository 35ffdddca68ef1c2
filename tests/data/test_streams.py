"""From a config to streams: switches, what a stage may see, rare classes."""

from __future__ import annotations

import json
import logging
import shutil
from itertools import islice
from pathlib import Path

from ptseg_d2.data import streams
from ptseg_d2.data.augmentation import Photometric
from ptseg_d2.data.image_files import read_image
from ptseg_d2.data.labels import read_labels
from ptseg_d2.data.loader import JointLoader, StreamDataset
from ptseg_d2.data.mappers import SourceMapper
from ptseg_d2.data.samplers import shuffled
from ptseg_d2.data.streams import build_streams, source_stream, target_stream, uses_target
from ptseg_d2.data.style import RandomStyle
from ptseg_d2.stages import StageInputs

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from tiny import small

SMALL_CROP = ("INPUT.CROP_SIZE", "(32, 64)")
RARE = ("INPUT.RARE_CLASS_TEMPERATURE", "0.1")
FDA = ("INPUT.SOURCE_STYLE", "fda", "INPUT.STYLE_PROBABILITY", "1.0", "INPUT.FDA_BETA", "0.05")


def restyle_of(cfg: CfgNode) -> object:
    mapper = source_stream(cfg, StageInputs()).mapper
    assert isinstance(mapper, SourceMapper)
    return mapper.restyle


def test_all_switches_off_leave_the_image(world: Path) -> None:
    off = [
        *("INPUT.CROP_SIZE", "(64, 128)", "INPUT.SOURCE_SCALE", "(1.0, 1.0)", "INPUT.SOURCE_FLIP", "0.0"),
        *("INPUT.SOURCE_JITTER", "0.0", "INPUT.SOURCE_GAMMA", "0.0", "INPUT.SOURCE_BLUR_PROBABILITY", "0.0"),
    ]
    stream = source_stream(small("semantic_source.yaml", *off), StageInputs())
    files = {item["file_name"]: item for item in stream.dataset_dicts}
    for position in range(6):
        item = stream[position]
        assert np.array_equal(item["image"].permute(1, 2, 0).numpy(), read_image(item["file_name"]))
        assert np.array_equal(item["sem_seg"].numpy(), read_labels(files[item["file_name"]]).sem_seg)


SWITCHES = ("SOURCE_FLIP", "SOURCE_JITTER_PROBABILITY", "SOURCE_GAMMA_PROBABILITY", "SOURCE_BLUR_PROBABILITY")


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_augmentation_has_its_own_probability(switch: str, world: Path) -> None:
    """With one augmentation certain and the others off, images change; with probability 0 they do not."""
    size = ("INPUT.CROP_SIZE", "(64, 128)", "INPUT.SOURCE_SCALE", "(1.0, 1.0)")
    for probability, unchanged in (("0.0", 4), ("1.0", 0)):
        values = {**dict.fromkeys(SWITCHES, "0.0"), switch: probability}
        overrides = [part for key, value in values.items() for part in (f"INPUT.{key}", value)]
        stream = source_stream(small("semantic_source.yaml", *size, *overrides), StageInputs())
        items = [stream[position] for position in range(4)]
        same = [np.array_equal(item["image"].permute(1, 2, 0), read_image(item["file_name"])) for item in items]
        assert sum(same) == unchanged


def test_default_stream_is_the_one_of_the_published_results(world: Path) -> None:
    """The values that were written in the code before they became keys, and no number drawn more or less."""
    cfg = small("semantic_source.yaml", *SMALL_CROP)
    photometric = Photometric(
        jitter=0.5, jitter_probability=0.8, gamma=0.5, blur=(0.1, 1.5), blur_probability=0.5, noise=0.0
    )
    mapper = SourceMapper(crop=(32, 64), scale=tuple(cfg.INPUT.SOURCE_SCALE), photometric=photometric)
    stream = source_stream(cfg, StageInputs())
    seed = max(cfg.SEED, 0)
    expected = StreamDataset(stream.dataset_dicts, mapper, shuffled(6, seed), seed)
    for position in range(8):
        for key in ("image", "sem_seg", "instance_ids"):
            assert torch.equal(stream[position][key], expected[position][key])


def test_nothing_is_counted_without_rare_class_sampling(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(streams, "scan")
    source_stream(small("semantic_source.yaml"), StageInputs())
    assert not (world.parent / "class_pixels").exists()


def test_rare_class_sampling_shows_the_class_it_drew(world: Path) -> None:
    cfg = small("semantic_source.yaml", *SMALL_CROP, *RARE, "INPUT.RARE_CLASS_CROPS", "50")
    stream = source_stream(cfg, StageInputs())
    assert (world.parent / "class_pixels" / "miniscapes_synthia_labeled_train.npz").exists()
    plain = source_stream(small("semantic_source.yaml", *SMALL_CROP), StageInputs())

    def share(items: list) -> float:
        """Of crops with a class that covers less than 1 % of the source."""
        pixels = [np.bincount(read_labels(d).sem_seg.ravel(), minlength=256)[:19] for d in stream.dataset_dicts]
        rare = torch.from_numpy(np.flatnonzero(np.sum(pixels, axis=0) < 0.01 * np.sum(pixels)))
        return float(np.mean([torch.isin(item["sem_seg"], rare).float().mean() > 0.005 for item in items]))

    assert share([stream[p] for p in range(60)]) > share([plain[p] for p in range(60)])


def test_rare_class_stream_resumes_exactly(world: Path) -> None:
    cfg = small("semantic_source.yaml", *SMALL_CROP, *RARE)
    whole = [source_stream(cfg, StageInputs())[position] for position in range(6)]
    again = source_stream(cfg, StageInputs())
    for position in (5, 3):
        assert all(torch.equal(again[position][key], whole[position][key]) for key in ("image", "sem_seg"))


def test_group_draws_its_own_classes_only(world: Path, caplog: pytest.LogCaptureFixture) -> None:
    cfg = small("instance_source.yaml", *SMALL_CROP, *RARE)
    inputs = StageInputs(group=("car", "bicycle"))
    stream = source_stream(cfg, inputs)
    rng = np.random.default_rng(0)
    assert {stream.sampler(p, rng).focus_class for p in range(200)} <= {13, 18}
    for path in world.glob("synthia/**/LABELS/*.png"):
        path.unlink()
        shutil.copy(next(world.glob("cityscapes/gtFine/val/*/*labelIds.png")), path)  # no label file of SYNTHIA
    with caplog.at_level(logging.WARNING):
        draw = source_stream(cfg, inputs).sampler
    assert "drawn uniformly: none shows one of car, bicycle" in caplog.text
    assert sorted(draw(p, rng) for p in range(6)) == [(i, None) for i in range(6)]


def test_rare_class_sampling_opens_no_label_of_the_target(world: Path) -> None:
    shutil.rmtree(world / "cityscapes" / "gtFine")
    cfg = small("semantic_selftrain.yaml", *SMALL_CROP, *RARE, "INPUT.PREDICTED_MASKS", "")
    assert len(next(iter(JointLoader(build_streams(cfg, StageInputs.from_config(cfg)), num_workers=0)))) > 0
    assert [path.stem for path in (world.parent / "class_pixels").iterdir()] == ["miniscapes_synthia_labeled_train"]


def test_data_set_smaller_than_a_batch(world: Path) -> None:
    for path in sorted(world.glob("synthia/**/RGB/*.png"))[2:]:
        path.unlink()
    for rare in ((), RARE):
        cfg = small("semantic_source.yaml", *SMALL_CROP, *rare, "SOLVER.SOURCE_PER_BATCH", "5")
        batches = list(islice(JointLoader(build_streams(cfg, StageInputs.from_config(cfg)), num_workers=0), 3))
        assert [len(batch) for batch in batches] == [5, 5, 5]
        assert len({item["file_name"] for batch in batches for item in batch}) == 2


def test_target_set_smaller_than_a_batch(world: Path, tmp_path: Path) -> None:
    files = sorted(world.glob("cityscapes/leftImg8bit/train/*/*.png"))
    for path in files[2:]:
        path.unlink()
    sizes = ("SOLVER.SOURCE_PER_BATCH", "0", "SOLVER.TARGET_PER_BATCH", "5", *SMALL_CROP)
    for masks in ("", write_masks(world, tmp_path / "masks")):
        cfg = small("semantic_selftrain.yaml", *sizes, "INPUT.PREDICTED_MASKS", masks)
        batches = list(islice(JointLoader(build_streams(cfg, StageInputs.from_config(cfg)), num_workers=0), 3))
        assert [len(batch) for batch in batches] == [5, 5, 5]
        assert {item["file_name"] for batch in batches for item in batch} == {str(path) for path in files[:2]}


def write_masks(world: Path, folder: Path) -> str:
    """Masks for the target images as tools/predict_masks.py writes them: all car in the first, else road."""
    folder.mkdir()
    images = {}
    for number, item in enumerate(DatasetCatalog.get("miniscapes_cityscapes_unlabeled_train")):
        class_id = 13 if number == 0 else 0
        assert cv2.imwrite(str(folder / f"{number}.png"), np.full((64, 128), class_id, np.uint8))
        images[item["image_id"]] = {"mask": f"{number}.png", "class_shares": np.eye(19)[class_id].tolist()}
    (folder / "index.json").write_text(json.dumps({"images": images, "skipped": []}))
    return str(folder / "index.json")


def drawn_target_images(cfg: CfgNode, num_draws: int = 2000) -> list[float]:
    """Share of the draws of each target image."""
    stream = target_stream(cfg, StageInputs.from_config(cfg))
    rng = np.random.default_rng(0)
    counts = np.bincount([stream.sampler(p, rng).image_index for p in range(num_draws)], minlength=6)
    return (counts / num_draws).tolist()


@pytest.mark.parametrize(
    ("things", "uniform", "first"),
    [
        ("False", "[]", 1 / 2),  # car or road
        ("False", "['train', 'truck']", 1 / 4 + 1 / 2 / 6),  # car, road, train or truck
        ("True", "['train', 'terrain']", 1 / 2 + 1 / 2 / 6),  # car or train: of the things only
    ],
)
def test_uniform_classes_are_names(things: str, uniform: str, first: float, world: Path, tmp_path: Path) -> None:
    masks = ("INPUT.PREDICTED_MASKS", write_masks(world, tmp_path / "masks"), "INPUT.DRAW_THINGS", things)
    prior = ("INPUT.UNIFORM_PRIOR", "0.0", "INPUT.UNIFORM_CLASSES", uniform)
    found = drawn_target_images(small("semantic_selftrain.yaml", *masks, *prior))
    assert found == pytest.approx([first, *[(1 - first) / 5] * 5], abs=0.03)


def test_fixed_labels_without_masks_are_an_error_before_training(world: Path) -> None:
    cfg = small("semantic_selftrain.yaml", "MODEL.SELF_TRAINING.PSEUDO_LABELS", "predicted")
    with pytest.raises(ValueError, match=r"INPUT\.PREDICTED_MASKS to .* tools/predict_masks\.py"):
        target_stream(cfg, StageInputs())
    with pytest.raises(FileNotFoundError, match=r"nowhere/index\.json not found; .* tools/predict_masks\.py"):
        target_stream(cfg, StageInputs(masks="nowhere/index.json"))


def test_flips_of_the_target_are_keys(world: Path) -> None:
    size = ("INPUT.CROP_SIZE", "(64, 128)", "INPUT.TARGET_PRE_SCALE", "(1.0, 1.0)", "INPUT.TARGET_FLIP", "0.0")
    for canvas_flip in (0, 1):
        cfg = small("semantic_selftrain.yaml", *size, "INPUT.TARGET_CANVAS_FLIP", f"{canvas_flip}.0")
        stream = target_stream(cfg, StageInputs())
        for position in range(4):
            item = stream[position]
            expected = read_image(item["file_name"])[:, :: -1 if canvas_flip else 1]
            assert np.array_equal(item["teacher_views"][0].permute(1, 2, 0), expected)


def test_styled_stage_sees_the_look_of_the_target_and_nothing_else(world: Path) -> None:
    cfg = small("semantic_source.yaml", *FDA, "RECIPE.STAGE", "semantic_styled", "SOLVER.TARGET_PER_BATCH", "4")
    assert uses_target(cfg) and isinstance(restyle_of(cfg), RandomStyle)
    assert len(build_streams(cfg, StageInputs())) == 1  # no target stream: the network learns from labels only
    batch = next(iter(JointLoader(build_streams(cfg, StageInputs.from_config(cfg)), num_workers=0)))
    assert {item["domain"] for item in batch} == {"source"}


@pytest.mark.parametrize("config", ["semantic_source.yaml", "instance_source.yaml"])
def test_source_stage_never_sees_the_target(config: str, world: Path) -> None:
    shutil.rmtree(world / "cityscapes")
    cfg = small(config, *FDA, *RARE, "SOLVER.TARGET_PER_BATCH", "4")
    assert not uses_target(cfg) and restyle_of(cfg) is None and len(build_streams(cfg, StageInputs())) == 1
    assert not (world / "cityscapes").exists()  # asking for it would have drawn it


def test_teacher_stage_learns_from_the_target(world: Path) -> None:
    cfg = small("semantic_selftrain.yaml", "INPUT.PREDICTED_MASKS", "")
    assert uses_target(cfg) and len(build_streams(cfg, StageInputs.from_config(cfg))) == 2


def test_empty_source_is_an_error(world: Path) -> None:
    with pytest.raises(ValueError, match=r"DATASETS\.SOURCE is empty"):
        source_stream(small("semantic_source.yaml", "DATASETS.SOURCE", "()"), StageInputs())


def test_same_data_set_twice_counts_twice(world: Path) -> None:
    twice = str(("miniscapes_synthia_labeled_train",) * 2)
    stream = source_stream(small("semantic_source.yaml", *RARE, "DATASETS.SOURCE", twice), StageInputs())
    assert len(stream.dataset_dicts) == 12
