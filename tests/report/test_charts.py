"""Charts: what is written in them, and that odd numbers draw."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from typing import Any

from ptseg_d2.report.charts import class_bars, curve_grid, heat_map, scatter_panels

import matplotlib
import numpy as np
import pytest
from PIL import Image


def svg_texts(uri: str) -> list[str]:
    """Texts of an SVG, which matplotlib repeats as comments."""
    head, _, content = uri.partition(",")
    assert head == "data:image/svg+xml;base64"
    text = base64.b64decode(content).decode()
    assert ET.fromstring(text).tag.endswith("svg")
    return re.findall(r"<!-- (.*?) -->", text)


def test_curves_have_titles_and_one_legend() -> None:
    lines = {"car": ([0.0, 20.0], [3.0, 1.0]), "bus": ([0.0], [2.0])}
    texts = svg_texts(curve_grid({"total_loss": lines, "loss_pull": {"car": lines["car"]}}))
    assert {"total_loss", "loss_pull", "iteration"} <= set(texts)
    assert texts.count("car") == texts.count("bus") == 1


def test_a_single_unnamed_curve_has_no_legend_and_nan_is_a_gap() -> None:
    texts = svg_texts(curve_grid({"x": {"": ([1.0, 2.0, 3.0], [1.0, float("nan"), 2.0])}}, "round"))
    assert {"x", "round"} <= set(texts) and "iteration" not in texts


def test_bars_name_rows_and_classes_and_leave_out_what_is_missing() -> None:
    panels: dict[str, Any] = {
        "PQ": {"source": {"road": 50.0, "car": None}, "selftrain": {"road": 70.0, "car": 20.0}},
        "AP50": {"selftrain": {"car": 40.0}},
    }
    texts = svg_texts(class_bars(panels, ["road", "car"]))
    for name in ("PQ", "AP50", "source", "selftrain", "road", "car"):
        assert texts.count(name) == 1


def test_heat_map_shows_percent_of_each_row() -> None:
    """8 of 10 and 2 of 10; a class without pixels shows nothing; less than half a percent neither."""
    confusion = np.array([[8, 2, 0], [0, 0, 0], [0, 1, 999]])
    texts = svg_texts(heat_map(confusion, ["road", "bus", "car"], ["road", "bus", "car"]))
    empty = svg_texts(heat_map(0 * confusion, ["road", "bus", "car"], ["road", "bus", "car"]))
    for text in empty:  # names, and the numbers of the colour bar
        texts.remove(text)
    assert texts == ["80", "20", "100"]  # 99.9 % is rounded


def test_scatter_shows_the_colours_given() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    uri = scatter_panels({"a": (points, np.array([[255, 0, 0], [0, 0, 255]], dtype=np.uint8))})
    assert uri.startswith("data:image/png;base64,")
    picture = np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")).reshape(-1, 3)
    colors = {tuple(color) for color in np.unique(picture, axis=0).tolist()}
    assert {(255, 0, 0), (0, 0, 255)} <= colors


@pytest.mark.parametrize("draw", [lambda: curve_grid({"x": {"": ([0.0, 1.0], [1.0, 2.0])}})], ids=["curves"])
def test_the_same_numbers_give_the_same_file_and_no_global_setting_changes(draw: Any) -> None:
    before = dict(matplotlib.rcParams)
    assert draw() == draw()
    assert dict(matplotlib.rcParams) == before
