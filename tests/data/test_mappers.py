"""What reaches the network: geometry shared by image and labels, noise on the student's views only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ptseg_d2.data.augmentation import Photometric
from ptseg_d2.data.mappers import SourceMapper, TargetViewsMapper, TestMapper
from ptseg_d2.data.style import RandomStyle
from ptseg_d2.data.views import render_image
from ptseg_d2.random_states import seeded

import cv2
import numpy as np
import pytest
import torch

NO_NOISE = Photometric(jitter=0, jitter_probability=0, blur=(0.1, 1), blur_probability=0)
NO_FOCUS = SourceMapper(crop=(4, 4), scale=(1.0, 1.0), photometric=NO_NOISE, flip=0.0)
NOISE = Photometric(jitter=0.4, jitter_probability=1, blur=(1, 2), blur_probability=1)


@pytest.fixture
def cityscapes_item(tmp_path: Path) -> dict[str, Any]:
    """A 16x8 image whose left half is a car (label id 26, instance 26001) and whose right half is road (7)."""
    image = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    label_ids = np.full((8, 16), 7, np.uint8)
    label_ids[:, :8] = 26
    instances = np.where(label_ids == 26, 26001, 7).astype(np.uint16)
    for name, array in (("image", image), ("labels", label_ids), ("instances", instances)):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), array)
    return {
        "file_name": str(tmp_path / "image.png"),
        "label_file_name": str(tmp_path / "labels.png"),
        "instance_file_name": str(tmp_path / "instances.png"),
        "label_format": "cityscapes",
        "image_id": "a",
        "domain": "source",
    }


def target_mapper(
    photometric: Photometric = NO_NOISE, num_views: int = 3, flip: float = 0.5, canvas_flip: float = 0.5
) -> TargetViewsMapper:
    return TargetViewsMapper(
        crop=(8, 16),
        pre_scale=(1.0, 1.0),
        num_views=num_views,
        zoom=(0.5, 1.0),
        flip=flip,
        canvas_flip=canvas_flip,
        photometric=photometric,
    )


def test_source_labels_follow_the_image(cityscapes_item: dict[str, Any]) -> None:
    mapper = SourceMapper(crop=(8, 16), scale=(1.0, 1.0), photometric=NO_NOISE)
    plain = cv2.imread(cityscapes_item["file_name"])[..., ::-1]
    seen = set()
    for seed in range(8):
        with seeded(seed):
            item = mapper(cityscapes_item)
        flipped = bool(item["sem_seg"][0, 0] == 0)
        seen.add(flipped)
        image = item["image"].permute(1, 2, 0).numpy()
        assert np.array_equal(image, plain[:, ::-1] if flipped else plain)
        car = slice(8, 16) if flipped else slice(0, 8)
        assert (item["sem_seg"][:, car] == 13).all() and (item["instance_ids"][:, car] == 1).all()
        assert int((item["sem_seg"] == 0).sum()) == int((item["instance_ids"] == 0).sum()) == 64
    assert seen == {True, False}


def test_source_mapper_keeps_the_instances_of_its_group(cityscapes_item: dict[str, Any]) -> None:
    for thing_ids, expected in (((13,), {0, 1}), ((11, 12), {0})):
        mapper = SourceMapper(crop=(8, 16), scale=(1.0, 1.0), photometric=NO_NOISE, thing_ids=thing_ids)
        assert set(mapper(cityscapes_item)["instance_ids"].unique().tolist()) == expected


def with_small_train(item: dict[str, Any]) -> dict[str, Any]:
    """Paints a 2x2 train (label id 31) into the upper left corner of the car, and asks for crops that show it."""
    label_ids = cv2.imread(item["label_file_name"], cv2.IMREAD_UNCHANGED)
    label_ids[:2, :2] = 31
    assert cv2.imwrite(item["label_file_name"], label_ids)
    return {**item, "focus_class": 16}


def small_crops(focus_share: float, focus_crops: int) -> SourceMapper:
    return SourceMapper(
        crop=(4, 4),
        scale=(1.0, 1.0),
        photometric=NO_NOISE,
        flip=0.0,
        focus_share=focus_share,
        focus_crops=focus_crops,
    )


def train_pixels(mapper: SourceMapper, item: dict[str, Any], seed: int) -> int:
    with seeded(seed):
        return int((mapper(item)["sem_seg"] == 16).sum())


def test_crops_are_drawn_again_until_they_show_the_class(cityscapes_item: dict[str, Any]) -> None:
    item = with_small_train(cityscapes_item)
    once, often = small_crops(2 / 16, 0), small_crops(2 / 16, 300)
    assert min(train_pixels(once, item, seed) for seed in range(20)) == 0
    assert min(train_pixels(often, item, seed) for seed in range(20)) >= 2


def test_best_crop_is_kept_where_none_shows_enough(cityscapes_item: dict[str, Any]) -> None:
    item = with_small_train(cityscapes_item)
    for seed in range(10):
        single = small_crops(1.0, 0)
        with seeded(seed):
            shown = [int((single(item)["sem_seg"] == 16).sum()) for _ in range(31)]
        assert train_pixels(small_crops(1.0, 30), item, seed) == max(shown)


def test_good_first_crop_and_images_without_focus_stay_as_they_are(cityscapes_item: dict[str, Any]) -> None:
    for mapper, item in ((small_crops(0.0, 10), {**cityscapes_item, "focus_class": 13}), (NO_FOCUS, cityscapes_item)):
        with seeded(3):
            expected, following = NO_FOCUS(cityscapes_item), np.random.random()
        with seeded(3):
            found = mapper(item)
            assert np.random.random() == following
        for key in ("image", "sem_seg", "instance_ids"):
            assert torch.equal(found[key], expected[key])


@pytest.mark.parametrize(("flip", "expected"), [(0.0, {False}), (1.0, {True})])
def test_flip_probability(flip: float, expected: set[bool], cityscapes_item: dict[str, Any]) -> None:
    mapper = SourceMapper(crop=(8, 16), scale=(1.0, 1.0), photometric=NO_NOISE, flip=flip)
    assert {bool(mapper(cityscapes_item)["sem_seg"][0, 0] == 0) for _ in range(10)} == expected


def test_target_views_are_views_of_one_canvas(cityscapes_item: dict[str, Any]) -> None:
    item = target_mapper()({"file_name": cityscapes_item["file_name"], "image_id": "a"})
    assert item["domain"] == "target" and item["thetas"].shape == (3, 2, 3)
    assert torch.equal(item["teacher_views"], item["student_views"])
    # The first view is the whole canvas, maybe mirrored: a second flip by its own map gives the canvas.
    canvas = render_image(item["teacher_views"][0], item["thetas"][0])
    for view, theta in zip(item["teacher_views"], item["thetas"]):
        assert torch.equal(render_image(canvas, theta), view)


@pytest.mark.parametrize(("flip", "canvas_flip", "mirrored"), [(0.0, 0.0, False), (0.0, 1.0, True), (1.0, 1.0, False)])
def test_canvas_and_view_flips(
    flip: float, canvas_flip: float, mirrored: bool, cityscapes_item: dict[str, Any]
) -> None:
    plain = torch.from_numpy(cv2.imread(cityscapes_item["file_name"])[..., ::-1].copy()).permute(2, 0, 1)
    item = target_mapper(num_views=1, flip=flip, canvas_flip=canvas_flip)(cityscapes_item)
    assert torch.equal(item["teacher_views"][0], plain.flip(-1) if mirrored else plain)


def test_noise_is_for_the_student_only(cityscapes_item: dict[str, Any]) -> None:
    plain = {"file_name": cityscapes_item["file_name"], "image_id": "a"}
    with seeded(1):
        clean = target_mapper()(plain)
    with seeded(1):
        noisy = target_mapper(NOISE)(plain)
    assert torch.equal(noisy["teacher_views"], clean["teacher_views"])
    assert torch.equal(noisy["thetas"], clean["thetas"])
    assert all(not torch.equal(s, t) for s, t in zip(noisy["student_views"], noisy["teacher_views"]))


def test_target_mapper_needs_no_label_and_gives_none(cityscapes_item: dict[str, Any]) -> None:
    for key in ("label_file_name", "instance_file_name"):
        Path(cityscapes_item[key]).unlink()
    item = target_mapper()(cityscapes_item)
    assert not {"sem_seg", "instance_ids", "class_mask_views"} & item.keys()


def test_predicted_masks_follow_the_views(cityscapes_item: dict[str, Any], tmp_path: Path) -> None:
    mask = np.arange(128, dtype=np.uint8).reshape(8, 16)
    grey = np.repeat(mask[..., None], 3, axis=2)
    assert cv2.imwrite(str(tmp_path / "mask.png"), mask) and cv2.imwrite(str(tmp_path / "grey.png"), grey)
    item = target_mapper(num_views=1)(
        {"file_name": str(tmp_path / "grey.png"), "class_mask_file_name": str(tmp_path / "mask.png")}
    )
    assert torch.equal(item["class_mask_views"][0], item["teacher_views"][0, 0].long())


def test_guidance_goes_through_the_transforms_of_the_masks(cityscapes_item: dict[str, Any], tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 256, (128, 256), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    files = {key: str(tmp_path / "mask.png") for key in ("class_mask_file_name", "guidance_mask_file_name")}
    item = target_mapper()({"file_name": cityscapes_item["file_name"], **files})
    assert torch.equal(item["guidance_mask_views"], item["class_mask_views"])
    assert item["guidance_mask_views"].unique().numel() > 50


def test_missing_predicted_mask_names_the_file(cityscapes_item: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="gone.png"):
        target_mapper()({"file_name": cityscapes_item["file_name"], "class_mask_file_name": "gone.png"})


@pytest.mark.parametrize("method", ["statistics", "fda"])
def test_restyled_image_has_the_mean_colour_of_the_target(
    method: str, cityscapes_item: dict[str, Any], tmp_path: Path
) -> None:
    target = np.full((8, 16, 3), (30, 60, 90), np.uint8)
    assert cv2.imwrite(str(tmp_path / "target.png"), target[..., ::-1])
    image = np.random.default_rng(0).integers(100, 140, (8, 16, 3), dtype=np.uint8)
    restyled = RandomStyle(method, [str(tmp_path / "target.png")], probability=1.0, beta=0.0)(image)
    np.testing.assert_allclose(restyled.mean(axis=(0, 1)), (30, 60, 90), atol=3)
    assert np.array_equal(RandomStyle(method, ["unused"], probability=0.0, beta=0.0)(image), image)


def test_unknown_style_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'none', 'statistics', 'colors' or 'fda'"):
        RandomStyle("cyclegan", [], 1.0, 0.0)


def test_test_mapper_keeps_the_size(cityscapes_item: dict[str, Any]) -> None:
    item = TestMapper()(cityscapes_item)
    assert item["image"].shape == (3, 8, 16) and (item["height"], item["width"]) == (8, 16)
    assert item["label_file_name"] == cityscapes_item["label_file_name"]
