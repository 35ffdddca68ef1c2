"""Dataset dict -> model input. All randomness comes from the global generators, which the loader seeds.

Images are (3, H, W) uint8 RGB, `sem_seg` and `instance_ids` (H, W) int64, H x W = INPUT.CROP_SIZE. The target mapper
never sees a label: its data sets hold none, and predicted masks come from files that an earlier stage wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ptseg_d2.classes.tables import VOID
from ptseg_d2.data.augmentation import (
    BORDERS,
    ColorAugmentation,
    Photometric,
    random_crop_affine,
    warp_image,
    warp_labels,
)
from ptseg_d2.data.cache import MemoryCache
from ptseg_d2.data.geometry import Geometry
from ptseg_d2.data.image_files import read_image, read_png
from ptseg_d2.data.labels import check_size, read_labels
from ptseg_d2.data.style import Restyle
from ptseg_d2.data.views import full_view, random_view, render_image, render_labels

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Decoded = tuple[NDArray[np.uint8], NDArray[np.int16], NDArray[np.int16]]


class SourceMapper:
    """A labelled image, augmented: `image`, `sem_seg`, `instance_ids`, `domain` = "source"."""

    def __init__(
        self,
        *,
        crop: tuple[int, int],
        scale: tuple[float, float],
        photometric: Photometric,
        flip: float = 0.5,
        thing_ids: Sequence[int] | None = None,
        color_augmentation: ColorAugmentation | None = None,
        restyle: Restyle | None = None,
        focus_share: float = 0.0,
        focus_crops: int = 0,
        cache_bytes: int = 0,
        vertical_flip: float = 0.0,
        rotation: float = 0.0,
        fit: bool = False,
        stretch: bool = False,
        border: str = "grey",
    ) -> None:
        """
        Args:
            crop, scale, flip, vertical_flip, rotation, fit, stretch: see `Geometry`.
            photometric: colour augmentation.
            thing_ids: classes whose instances are kept, the others become unlabelled; None = all.
            color_augmentation: changes polarity, contrast and colour of some images, before `restyle`; None = off.
            restyle: gives some images the look of the target domain; None = off.
            focus_share: share of the crop that the class an image was drawn for should cover (rare-class sampling).
            focus_crops: the crop of such an image is drawn again at most so often until it does.
            cache_bytes: memory for decoded images and labels, per process.
            border: one of `BORDERS`, what is seen beside an image; it has no label.

        Raises:
            ValueError: unknown border.
        """
        if border not in BORDERS:
            raise ValueError(f"INPUT.SOURCE_BORDER = {border!r}; expected one of: {', '.join(map(repr, BORDERS))}")
        self.crop = crop
        self.geometry = Geometry(
            crop=crop,
            scale=scale,
            flip=flip,
            vertical_flip=vertical_flip,
            rotation=rotation,
            fit=fit,
            stretch=stretch,
        )
        self.border = border
        self.photometric = photometric
        self.thing_ids = thing_ids
        self.color_augmentation = color_augmentation
        self.restyle = restyle
        self.focus_share = focus_share
        self.focus_crops = focus_crops
        self.cache: MemoryCache[Decoded] = MemoryCache(cache_bytes, lambda arrays: sum(a.nbytes for a in arrays))

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Read, augment colours, restyle, crop, flip, jitter."""
        image, sem_seg, instance_ids = self.cache.get(dataset_dict["file_name"], lambda: decode(dataset_dict))
        if self.thing_ids is not None:
            instance_ids = np.where(np.isin(sem_seg, self.thing_ids), instance_ids, 0).astype(np.int16)
        if self.color_augmentation is not None:
            image = self.color_augmentation(image)
        if self.restyle is not None:
            image = self.restyle(image)
        affine, cropped = self._random_crop(sem_seg, dataset_dict.get("focus_class"))
        return {
            "image": self.photometric(to_tensor(warp_image(image, affine, self.crop, self.border))),
            "sem_seg": torch.from_numpy(cropped),
            "instance_ids": torch.from_numpy(warp_labels(instance_ids, affine, self.crop, outside=-1)),
            "domain": "source",
            **where_from(dataset_dict, self.crop),
        }

    def _random_crop(
        self, sem_seg: NDArray[np.int16], focus_class: int | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Affine map and classes of a random crop; of several, the first that shows enough of a class, else the best.

        Args:
            sem_seg: (H, W) train ids of the image.
            focus_class: train id; None = any crop will do.
        """
        size = (sem_seg.shape[0], sem_seg.shape[1])

        def draw() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
            affine = self.geometry.draw(size)
            return affine, warp_labels(sem_seg, affine, self.crop)

        def share(crop: tuple[NDArray[np.float64], NDArray[np.int64]]) -> float:
            return float((crop[1] == focus_class).mean())

        best = draw()
        if focus_class is None:
            return best
        for _ in range(self.focus_crops):
            if share(best) >= self.focus_share:
                break
            best = max(best, draw(), key=share)
        return best


def decode(dataset_dict: dict[str, Any]) -> Decoded:
    """Image, classes and instance ids, the two label maps as int16, which `warp_labels` needs."""
    image = read_image(dataset_dict["file_name"])
    labels = read_labels(dataset_dict)
    check_size(image, labels, dataset_dict["file_name"])
    return image, labels.sem_seg.astype(np.int16), labels.instance_ids.astype(np.int16)


class TargetViewsMapper:
    """An unlabelled image as V views of one canvas ([SAC], "target views").

    Keys: `student_views` and `teacher_views` (V, 3, H, W) uint8 of equal geometry, photometric noise on the student's
    only; `thetas` (V, 2, 3) view -> canvas; `class_mask_views` (V, H, W) int64 where an earlier stage predicted
    masks, `guidance_mask_views` likewise where instances guide them, `detected_instance_views` (train id * 1000 +
    number, 0 = none) where a detector found instances; `domain` = "target".
    """

    def __init__(
        self,
        *,
        crop: tuple[int, int],
        pre_scale: tuple[float, float],
        num_views: int,
        zoom: tuple[float, float],
        flip: float,
        canvas_flip: float,
        photometric: Photometric,
        cache_bytes: int = 0,
    ) -> None:
        """
        Args:
            crop: (height, width) of the canvas and of every view.
            pre_scale: size factor of the image relative to the smallest that covers the canvas.
            num_views: V; the first view is the whole canvas.
            zoom: side of the other views relative to the canvas.
            flip: probability that a view is mirrored.
            canvas_flip: probability that the canvas, and with it all views, is mirrored.
            photometric: noise of the student's views.
            cache_bytes: memory for decoded images, per process.
        """
        self.crop = crop
        self.pre_scale = pre_scale
        self.num_views = num_views
        self.zoom = zoom
        self.flip = flip
        self.canvas_flip = canvas_flip
        self.photometric = photometric
        self.cache: MemoryCache[NDArray[np.uint8]] = MemoryCache(cache_bytes, lambda image: image.nbytes)

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Read, crop the canvas, render the views."""
        file_name = dataset_dict["file_name"]
        image = self.cache.get(file_name, lambda: read_image(file_name))
        size = (image.shape[0], image.shape[1])
        cover = max(self.crop[0] / size[0], self.crop[1] / size[1])
        scale = (cover * self.pre_scale[0], cover * self.pre_scale[1])
        affine = random_crop_affine(size, self.crop, scale, self.canvas_flip)
        canvas = to_tensor(warp_image(image, affine, self.crop))
        thetas = self._thetas()
        clean = torch.stack([render_image(canvas, theta) for theta in thetas])
        item = {
            "teacher_views": clean,
            "student_views": torch.stack([self.photometric(view) for view in clean]),
            "thetas": thetas,
            "domain": "target",
            **where_from(dataset_dict, self.crop),
        }
        for key in ("class_mask", "guidance_mask", "detected_instance"):
            if f"{key}_file_name" in dataset_dict:
                mask = read_png(dataset_dict[f"{key}_file_name"]).astype(np.int16)
                outside = 0 if key == "detected_instance" else VOID
                warped = torch.from_numpy(warp_labels(mask, affine, self.crop, outside=outside))
                item[f"{key}_views"] = torch.stack([render_labels(warped, theta) for theta in thetas])
        return item

    def _thetas(self) -> Tensor:
        rng = np.random.default_rng(np.random.randint(2**31))
        views = [full_view(self.crop, flip=bool(rng.random() < self.flip))]
        views += [random_view(self.crop, rng, self.zoom, self.flip) for _ in range(self.num_views - 1)]
        return torch.stack([view.theta() for view in views])


class TestMapper:
    """An image at its own size, with what an evaluator needs to find its labels."""

    __test__ = False  # not a pytest class

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Adds `image`, `height` and `width` to a copy of the dict."""
        image = read_image(dataset_dict["file_name"])
        return {**dataset_dict, "image": to_tensor(image), "height": image.shape[0], "width": image.shape[1]}


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) -> (3, H, W), a copy."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def where_from(dataset_dict: dict[str, Any], crop: tuple[int, int]) -> dict[str, Any]:
    """File and size of a mapped image."""
    return {"file_name": dataset_dict["file_name"], "height": crop[0], "width": crop[1]}
