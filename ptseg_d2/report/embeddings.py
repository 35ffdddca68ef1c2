"""Embeddings of a run for its report: as colours beside the instances, and laid out on a plane.

Shapes: E embedding dims, H x W pixels of an image, M points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ptseg_d2.classes.tables import ClassTable
from ptseg_d2.counting import evenly_spread
from ptseg_d2.data.mappers import TestMapper
from ptseg_d2.inference.protocols import EmbeddingNetworks, PanopticSystem
from ptseg_d2.report.charts import scatter_panels
from ptseg_d2.report.embedding_colors import MIN_POINTS, PERPLEXITY, pca_colors, plane_layout
from ptseg_d2.report.examples import class_legend, photo, to_picture
from ptseg_d2.report.page import Block, Figure, Gallery, Text, missing
from ptseg_d2.results.rows import PanopticRows
from ptseg_d2.visualization.panels import PANEL_WIDTH, data_uri, distinct_colors, paint_segments

import numpy as np
import torch
from detectron2.data import DatasetCatalog
from numpy.typing import NDArray
from torch import Tensor

NUM_CANDIDATES, NUM_EMBEDDED = 8, 4
"""Of so many evenly spread test images, those with the most instances are shown with their embeddings."""
MAX_POINTS, MAX_MAPS = 1000, 2
ID_RANGE = 2**32
"""Segment ids are below; image number * ID_RANGE + id names an instance of several images."""
Segments = Sequence[dict[str, Any]]
ColoredPoints = dict[str, tuple[NDArray[np.floating], NDArray[np.uint8]]]


@dataclass(frozen=True)
class Scene:
    """An image with its result.

    Attributes:
        image: (3, H, W) grey levels.
        image_id: of the data set.
        sem_seg: (H, W) classes.
        ids: (H, W) segment ids, 0 = void.
        segments: of the ids.
    """

    image: Tensor
    image_id: str
    sem_seg: NDArray[np.int64]
    ids: NDArray[np.int64]
    segments: Segments

    @property
    def things(self) -> Segments:
        """Segments that are instances."""
        return [segment for segment in self.segments if segment["isthing"]]


@dataclass(frozen=True)
class Sample:
    """Embeddings of pixels of one network.

    Attributes:
        points: (M, E).
        instances: (M,) image number * ID_RANGE + segment id.
        classes: (M,) its class.
    """

    points: NDArray[np.floating]
    instances: NDArray[np.int64]
    classes: NDArray[np.int64]


@torch.no_grad()
def embedding_blocks(dataset_name: str, rows: PanopticRows) -> list[Block]:
    """Embeddings of the last panoptic row as colours beside its instances, and as points laid out by t-SNE.

    Args:
        dataset_name: test set; its labels are not read.
        rows: models of the run.
    """
    model = rows.panoptic(rows.panoptic_rows()[-1])
    networks = model.embedding_networks
    if networks is None:
        return [missing("The instances of this run are not made from embeddings.")]
    dicts = evenly_spread(DatasetCatalog.get(dataset_name), NUM_CANDIDATES)
    scenes = [_scene(model, item) for item in dicts]
    scenes = [scene for scene in sorted(scenes, key=lambda scene: -len(scene.things)) if scene.things][:NUM_EMBEDDED]
    if not scenes:
        return [missing(f"No instance was found in {len(dicts)} evenly spread test images.")]
    gallery = []
    samples: dict[tuple[int, ...], list[Sample]] = {}
    for number, scene in enumerate(scenes):
        maps = dict(_embeddings(scene, networks))
        gallery.append((scene.image_id, _embedding_figures(scene, maps, rows.classes)))
        for thing_ids, embeddings in maps.items():
            samples.setdefault(thing_ids, []).append(_sample(scene, embeddings, thing_ids, number))
    text = (
        "The three directions of largest variance of the pixel embeddings as red, green and blue; pixels of one "
        "object should have one colour, those of neighbouring objects different ones. With one network per group of "
        "classes each has colours of its own."
    )
    classes = rows.classes
    return [Text(text), class_legend(classes), Gallery(gallery), *_plane_blocks(samples, scenes, classes)]


def _scene(model: PanopticSystem, item: dict[str, Any]) -> Scene:
    item = TestMapper()(item)
    output = model([item])[0]
    ids, segments = output["panoptic_seg"]
    sem_seg = output["sem_seg"].argmax(dim=0)
    return Scene(item["image"], str(item["image_id"]), sem_seg.cpu().numpy(), ids.cpu().numpy().astype(int), segments)


def _embeddings(scene: Scene, networks: EmbeddingNetworks) -> Iterator[tuple[tuple[int, ...], NDArray[np.floating]]]:
    """Thing classes and (E, H, W) embeddings of each network that has an instance in the image."""
    found = {segment["category_id"] for segment in scene.things}
    for thing_ids, network in networks:
        if not found.isdisjoint(thing_ids):
            yield thing_ids, network.predict(scene.image[None])["embeddings"][0].cpu().numpy()


def _embedding_figures(
    scene: Scene, maps: dict[tuple[int, ...], NDArray[np.floating]], classes: ClassTable
) -> list[Figure]:
    step = max(1, round(scene.sem_seg.shape[1] / PANEL_WIDTH))
    sem_seg = scene.sem_seg[::step, ::step]
    maps = {thing_ids: embeddings[:, ::step, ::step] for thing_ids, embeddings in maps.items()}
    masks = {thing_ids: np.isin(sem_seg, thing_ids) for thing_ids in maps}
    composite = np.zeros((*sem_seg.shape, 3), dtype=np.uint8)
    for thing_ids, embeddings in maps.items():
        composite += pca_colors(embeddings, masks[thing_ids])  # each pixel is of one class, so in one mask
    # The network of the class with the most pixels.
    present = [segment["category_id"] for segment in scene.things]
    largest = max(present, key=lambda class_id: int((sem_seg == class_id).sum()))
    main = next(thing_ids for thing_ids in maps if largest in thing_ids)
    is_part = len(main) < len(classes.thing_ids)
    name = f"network of {', '.join(classes.names[i] for i in main)}" if is_part else "embeddings"
    where = scene.image_id
    panel = paint_segments(scene.ids, scene.segments, classes.colors)
    return [
        photo(to_picture(scene.image), f"input {where}", "input"),
        Figure(data_uri(panel), f"result on {where}", f"result, {len(scene.things)} instances"),
        photo(pca_colors(maps[main]), f"{name}, PCA colours of {where}", f"{name}, whole image"),
        photo(composite, f"PCA colours inside the class masks of {where}", "inside the class masks"),
    ]


def _sample(scene: Scene, embeddings: NDArray[np.floating], thing_ids: Sequence[int], number: int) -> Sample:
    """At most MAX_POINTS pixels of the instances of a network, drawn at random."""
    own = [segment for segment in scene.things if segment["category_id"] in thing_ids]
    classes = {segment["id"]: segment["category_id"] for segment in own}
    is_own = np.isin(scene.ids, list(classes)) & np.isfinite(embeddings).all(axis=0)
    y, x = np.nonzero(is_own)
    chosen = np.random.default_rng(number).permutation(len(y))[:MAX_POINTS]
    y, x = y[chosen], x[chosen]
    ids = scene.ids[y, x]
    of_class = np.array([classes[i] for i in ids.tolist()], dtype=np.int64)
    return Sample(embeddings[:, y, x].T, number * ID_RANGE + ids, of_class)


def _plane_blocks(
    samples: dict[tuple[int, ...], list[Sample]], scenes: Sequence[Scene], classes: ClassTable
) -> list[Block]:
    """t-SNE of the networks with the most pixels, each on its own: their spaces have nothing in common."""
    merged = {thing_ids: _merge(parts) for thing_ids, parts in samples.items()}
    # A single instance has nothing to be apart from.
    usable = [i for i, sample in merged.items() if len(sample.points) >= MIN_POINTS and np.ptp(sample.instances) > 0]
    chosen = sorted(usable, key=lambda ids: -len(merged[ids].points))[:MAX_MAPS]
    if not chosen:
        return [missing(f"No t-SNE: it needs two instances of one network and {MIN_POINTS} of their pixels.")]
    total = sum(len(merged[ids].points) for ids in chosen)
    panels: ColoredPoints = {}
    for thing_ids in chosen:
        share = min(1.0, MAX_POINTS / total)
        sample = _fewer(merged[thing_ids], max(MIN_POINTS, int(share * len(merged[thing_ids].points))))
        panels.update(_colored_planes(sample, [scene.image_id for scene in scenes], classes))
    caption = (
        f"t-SNE (scikit-learn, perplexity {PERPLEXITY:.0f} or a third of the points, PCA start, seed 0) of embeddings "
        f"of up to {MAX_POINTS} random pixels of predicted instances in {len(scenes)} images, one map per network, one "
        "colour per instance; then the same map for each image, the others in grey. Nothing in training parts "
        "instances of different images; only those of one image should be apart. Distances between clusters mean "
        "little."
    )
    return [Figure(scatter_panels(panels), f"t-SNE of embeddings: {'; '.join(panels)}", caption, is_wide=True)]


def _colored_planes(sample: Sample, image_ids: Sequence[str], classes: ClassTable) -> ColoredPoints:
    """One map of a network, coloured by instance, by class if there are several, and by instance in each image."""
    plane = plane_layout(sample.points)
    numbers = np.unique(sample.instances, return_inverse=True)[1]
    colors = distinct_colors(int(numbers.max()) + 1)[numbers]
    found = sorted(set(sample.classes.tolist()))
    names = ", ".join(classes.names[i] for i in found)
    panels = {f"{names}: {numbers.max() + 1} instances": (plane, colors)}
    if len(found) > 1:
        panels[f"{names}: by class"] = (plane, np.array(classes.colors, dtype=np.uint8)[sample.classes])
    image_numbers = sample.instances // ID_RANGE
    for number in sorted(set(image_numbers.tolist())):
        is_here = image_numbers == number
        order = is_here.argsort(kind="stable")  # drawn over the others
        here = np.where(is_here[:, None], colors, np.uint8(225))
        panels[f"{names}: {image_ids[number]}"] = (plane[order], here[order])
    return panels


def _merge(parts: Sequence[Sample]) -> Sample:
    return Sample(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.instances for part in parts]),
        np.concatenate([part.classes for part in parts]),
    )


def _fewer(sample: Sample, count: int) -> Sample:
    chosen = np.random.default_rng(0).permutation(len(sample.points))[:count]
    return Sample(sample.points[chosen], sample.instances[chosen], sample.classes[chosen])
