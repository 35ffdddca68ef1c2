"""From a config to the data streams of a stage: which data sets, mapped how, drawn how."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ptseg_d2.data.augmentation import ColorAugmentation, Photometric
from ptseg_d2.data.class_pixels import scan
from ptseg_d2.data.dataset_dicts import load_dataset, source_dicts, target_dicts
from ptseg_d2.data.datasets import classes_of
from ptseg_d2.data.datasets.paths import class_pixels_folder
from ptseg_d2.data.loader import StreamDataset
from ptseg_d2.data.mappers import SourceMapper, TargetViewsMapper, TestMapper
from ptseg_d2.data.samplers import ImageSampler, by_importance, by_rare_class, shuffled
from ptseg_d2.data.style import RandomStyle
from ptseg_d2.stages import STAGES, StageInputs

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, build_detection_test_loader
from detectron2.modeling import META_ARCH_REGISTRY
from torch.utils.data import DataLoader, Dataset

logger = logging.getLogger(__name__)


def build_streams(cfg: CfgNode, inputs: StageInputs) -> list[tuple[Dataset, int]]:
    """Source and target streams with their images per step; a stream that is not used is not opened.

    Args:
        cfg: of the stage.
        inputs: of it, here and below.
    """
    make = {"SOURCE_PER_BATCH": source_stream, "TARGET_PER_BATCH": target_stream}
    return [(make[key](cfg, inputs), size) for key, size in images_per_step(cfg).items()]


def images_per_step(cfg: CfgNode) -> dict[str, int]:
    """Images per step, over all processes, of the streams that training opens; by their keys below SOLVER."""
    keys = ["SOURCE_PER_BATCH", "TARGET_PER_BATCH"] if _has_teacher(cfg) else ["SOURCE_PER_BATCH"]
    return {key: cfg.SOLVER[key] for key in keys if cfg.SOLVER[key] > 0}


def require_masks(cfg: CfgNode, inputs: StageInputs) -> None:
    """Raise a ValueError that says what to do when a stage trains on predicted masks and there are none."""
    if "TARGET_PER_BATCH" not in images_per_step(cfg):
        return
    architecture = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    if architecture.needs_detections(cfg) and not inputs.detections:
        raise ValueError(
            f"INSTANCE.DETECTED_ITERS = {cfg.INSTANCE.DETECTED_ITERS} learns from a detector's instances of the target "
            "images: set RECIPE.DETECTIONS_FROM to the stage that finds them, or INPUT.DETECTIONS to its index.json"
        )
    choice = architecture.needs_masks(cfg)
    if choice and not inputs.masks:
        raise ValueError(
            f"{choice} learns from class masks of the target images: set INPUT.PREDICTED_MASKS to the index.json that "
            "tools/predict_masks.py writes, or RECIPE.MASKS_FROM to an earlier stage"
        )


def uses_target(cfg: CfgNode) -> bool:
    """Whether a stage may see target images while it trains: to learn from them, or to restyle source images."""
    stage = STAGES.get(cfg.RECIPE.STAGE)
    return _has_teacher(cfg) or (stage is not None and stage.sees_target)


def _has_teacher(cfg: CfgNode) -> bool:
    """Whether the meta-architecture learns from target images, which it says of itself."""
    return bool(getattr(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE), "learns_from_target", False))


def source_stream(cfg: CfgNode, inputs: StageInputs) -> StreamDataset:
    """Labelled images of DATASETS.SOURCE: each once per epoch, or by their rare classes."""
    parts = source_dicts(cfg)
    dicts = [item for _, items in parts for item in items]
    mapper = SourceMapper(
        crop=tuple(cfg.INPUT.CROP_SIZE),
        scale=tuple(cfg.INPUT.SOURCE_SCALE),
        photometric=Photometric(
            jitter=cfg.INPUT.SOURCE_JITTER,
            jitter_probability=cfg.INPUT.SOURCE_JITTER_PROBABILITY,
            gamma=cfg.INPUT.SOURCE_GAMMA,
            gamma_probability=cfg.INPUT.SOURCE_GAMMA_PROBABILITY,
            blur=tuple(cfg.INPUT.SOURCE_BLUR),
            blur_probability=cfg.INPUT.SOURCE_BLUR_PROBABILITY,
            noise=cfg.INPUT.SOURCE_NOISE,
        ),
        flip=cfg.INPUT.SOURCE_FLIP,
        vertical_flip=cfg.INPUT.SOURCE_VERTICAL_FLIP,
        rotation=cfg.INPUT.SOURCE_ROTATION,
        fit=cfg.INPUT.SOURCE_FIT,
        stretch=cfg.INPUT.SOURCE_STRETCH,
        border=cfg.INPUT.SOURCE_BORDER,
        thing_ids=classes_of(cfg).ids(inputs.group) if inputs.group else None,
        color_augmentation=ColorAugmentation(
            stretch=cfg.INPUT.SOURCE_CONTRAST, invert=cfg.INPUT.SOURCE_INVERT, duotone=cfg.INPUT.SOURCE_DUOTONE
        ),
        restyle=_restyle(cfg),
        focus_share=cfg.INPUT.RARE_CLASS_MIN_SHARE,
        focus_crops=cfg.INPUT.RARE_CLASS_CROPS,
        cache_bytes=cfg.DATALOADER.CACHE_MB * 2**20,
    )
    seed = max(cfg.SEED, 0)
    return StreamDataset(dicts, mapper, _source_sampler(cfg, inputs, parts, seed), seed)


def target_stream(cfg: CfgNode, inputs: StageInputs) -> StreamDataset:
    """Unlabelled images of DATASETS.TARGET with the masks an earlier stage predicted, if there are any."""
    require_masks(cfg, inputs)
    dicts = target_dicts(cfg, inputs)
    mapper = TargetViewsMapper(
        crop=tuple(cfg.INPUT.CROP_SIZE),
        pre_scale=tuple(cfg.INPUT.TARGET_PRE_SCALE),
        num_views=cfg.INPUT.TARGET_VIEWS,
        zoom=tuple(cfg.INPUT.TARGET_ZOOM),
        flip=cfg.INPUT.TARGET_FLIP,
        canvas_flip=cfg.INPUT.TARGET_CANVAS_FLIP,
        photometric=Photometric(
            jitter=cfg.INPUT.TARGET_JITTER,
            jitter_probability=cfg.INPUT.TARGET_JITTER_PROBABILITY,
            blur=tuple(cfg.INPUT.TARGET_BLUR),
            blur_probability=cfg.INPUT.TARGET_BLUR_PROBABILITY,
            grey=cfg.INPUT.TARGET_GREY,
        ),
        cache_bytes=cfg.DATALOADER.CACHE_MB * 2**20,
    )
    seed = max(cfg.SEED, 0)
    return StreamDataset(dicts, mapper, _target_sampler(cfg, inputs, dicts, seed), seed + 1)


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """One image at a time at its own size, in the order of the data set."""
    load_dataset((dataset_name,), "DATASETS.TEST")
    return build_detection_test_loader(
        DatasetCatalog.get(dataset_name), mapper=TestMapper(), num_workers=cfg.DATALOADER.NUM_WORKERS
    )


def _source_sampler(
    cfg: CfgNode, inputs: StageInputs, parts: Sequence[tuple[str, list[dict[str, Any]]]], seed: int
) -> ImageSampler:
    """Every image once per epoch, or by rare classes: only then the source labels are counted."""
    num_images = sum(len(dicts) for _, dicts in parts)
    if cfg.INPUT.RARE_CLASS_TEMPERATURE == 0:
        return shuffled(num_images, seed)
    counts = np.concatenate([scan(dicts, name, class_pixels_folder(), classes_of(cfg)) for name, dicts in parts])
    classes = _sampled_classes(cfg, inputs)
    if counts[:, classes].sum() == 0:
        logger.warning(
            "Source images are drawn uniformly: none shows one of %s", ", ".join(inputs.group) or "the classes"
        )
        return shuffled(num_images, seed)
    return by_rare_class(counts, cfg.INPUT.RARE_CLASS_TEMPERATURE, cfg.INPUT.RARE_CLASS_MIN_AREA, classes)


def _target_sampler(cfg: CfgNode, inputs: StageInputs, dicts: list[dict[str, Any]], seed: int) -> ImageSampler:
    """By predicted class content where there are predictions, else every image once per epoch."""
    if not cfg.INPUT.IMPORTANCE_SAMPLING or "class_shares" not in dicts[0]:
        return shuffled(len(dicts), seed)
    shares = np.array([item["class_shares"] for item in dicts])
    classes = _sampled_classes(cfg, inputs)
    shares = shares[:, classes]
    uniform = [classes.index(i) for i in classes_of(cfg).ids(cfg.INPUT.UNIFORM_CLASSES) if i in classes]
    return by_importance(shares, cfg.INPUT.UNIFORM_PRIOR, uniform)


def _sampled_classes(cfg: CfgNode, inputs: StageInputs) -> list[int]:
    """The classes by whose content images are drawn: those of the group, or the things, or all."""
    classes = classes_of(cfg)
    things_only = inputs.group or cfg.INPUT.DRAW_THINGS
    return list(classes.ids_of_group(inputs.group) if things_only else range(classes.num_classes))


def _restyle(cfg: CfgNode) -> RandomStyle | None:
    # A network trained on the source alone must not see the target, whatever an override says.
    if cfg.INPUT.SOURCE_STYLE == "none" or not uses_target(cfg):
        return None
    files = [item["file_name"] for item in load_dataset(cfg.DATASETS.TARGET, "DATASETS.TARGET")]
    return RandomStyle(cfg.INPUT.SOURCE_STYLE, files, cfg.INPUT.STYLE_PROBABILITY, cfg.INPUT.FDA_BETA)
