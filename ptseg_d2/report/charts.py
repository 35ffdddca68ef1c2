"""Charts as data URIs: curves, bars, heat maps and scatter plots, drawn without matplotlib's global state.

Shapes: C classes, M points.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from ptseg_d2.visualization.panels import encode_uri

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Curve = tuple[Sequence[float], Sequence[float]]
"""Iterations and values."""

WIDTH = 11.0  # inches
COLUMNS, SCATTER_COLUMNS = 4, 5
PANEL_HEIGHT = 2.1  # inches
DOTS_PER_INCH = 150
MAX_LEGEND_COLUMNS = 8
FEW_POINTS = 10
BEFORE_AFTER = ("#9aa5b1", "#0a58ca")


def curve_grid(panels: Mapping[str, Mapping[str, Curve]], x_label: str = "iteration") -> str:
    """Small charts side by side, one per title, with the same lines and one legend.

    Args:
        panels: title -> label of the line -> curve; a label "" is not in the legend.
        x_label: of the horizontal axes.
    """
    columns = min(COLUMNS, max(2, len(panels)))
    num_rows = -(-len(panels) // columns)
    labels = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    figure = Figure(figsize=(WIDTH, PANEL_HEIGHT * num_rows + 0.45), layout="constrained")
    for number, (title, lines) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(num_rows, columns, number)
        for label, (iterations, values) in lines.items():
            color = f"C{labels.index(label) % 10}"
            marker = "o" if len(values) < FEW_POINTS else None
            axes.plot(iterations, values, color=color, linewidth=1.2, marker=marker, markersize=3, label=label)
        axes.set_title(title, fontsize=9)
        _tidy(axes)
    figure.supxlabel(x_label, fontsize=8)
    handles = {line.get_label(): line for axes in figure.axes for line in axes.get_lines() if line.get_label()}
    shown = {label: handles[label] for label in labels if label}
    if shown:
        figure.legend(
            list(shown.values()),
            list(shown),
            loc="outside upper center",
            ncols=min(MAX_LEGEND_COLUMNS, len(shown)),
            fontsize=8,
            frameon=False,
        )
    return _svg(figure)


def class_bars(panels: Mapping[str, Mapping[str, Mapping[str, float | None]]], classes: Sequence[str]) -> str:
    """Horizontal bars per class, scores side by side.

    Args:
        panels: score -> row -> class -> value; None or no entry = no bar.
        classes: names, from top to bottom.
    """
    figure = Figure(figsize=(WIDTH, 0.9 + 0.29 * len(classes)), layout="constrained")
    rows = list(dict.fromkeys(row for values in panels.values() for row in values))
    few = len(rows) <= len(BEFORE_AFTER)
    colors = {row: BEFORE_AFTER[index] if few else f"C{index % 10}" for index, row in enumerate(rows)}
    places = np.arange(len(classes))
    for number, (score, values) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number)
        thickness = 0.8 / max(1, len(values))
        for index, (row, by_class) in enumerate(values.items()):
            widths = np.array([by_class.get(name) for name in classes], dtype=np.float64)  # None becomes NaN
            offset = (index - (len(values) - 1) / 2) * thickness
            axes.barh(places + offset, widths, height=thickness, color=colors[row], label=row)
        axes.set_yticks(places, list(classes) if number == 1 else [])
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_title(score, fontsize=10)
        _tidy(axes)
        axes.grid(axis="y", visible=False)
    handles = [Patch(color=color, label=row) for row, color in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    return _svg(figure)


def heat_map(confusion: NDArray[np.integer], rows: Sequence[str], columns: Sequence[str]) -> str:
    """Counts as percent of their row, from white to blue; a row without a count is grey.

    Args:
        confusion: (rows, columns) counts.
        rows: names of what is true.
        columns: names of what is predicted.
    """
    totals = confusion.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        shares = np.where(totals > 0, 100 * confusion / np.maximum(totals, 1), np.nan)
    size = 1.9 + 0.38 * len(columns)
    figure = Figure(figsize=(size, 1.4 + 0.34 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    colors = matplotlib.colormaps["Blues"].with_extremes(bad="#dddddd")
    image = axes.imshow(shares, cmap=colors, vmin=0, vmax=100, aspect="auto")
    axes.set_xticks(range(len(columns)), list(columns), rotation=90, fontsize=8)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
    for y, x in zip(*np.nonzero(np.nan_to_num(shares) >= 0.5)):
        share = shares[y, x]
        axes.text(x, y, f"{share:.0f}", ha="center", va="center", fontsize=7, color="white" if share > 55 else "black")
    figure.colorbar(image, ax=axes, label="% of the true pixels", fraction=0.04)
    return _svg(figure)


def scatter_panels(panels: Mapping[str, tuple[NDArray[np.floating], NDArray[np.uint8]]]) -> str:
    """Points on planes without scale.

    Args:
        panels: title -> ((M, 2) points, (M, 3) RGB colours).
    """
    num_rows = -(-len(panels) // SCATTER_COLUMNS)
    figure = Figure(figsize=(WIDTH, 2.3 * num_rows), layout="constrained")
    for number, (title, (points, colors)) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(num_rows, SCATTER_COLUMNS, number)
        axes.scatter(points[:, 0], points[:, 1], c=colors / 255, s=6, linewidths=0)
        axes.set_title(title, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    return _png(figure)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "ptseg_d2"}):  # the same file for the same numbers
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return encode_uri(buffer.getvalue(), "image/svg+xml")


def _png(figure: Figure) -> str:
    figure.set_dpi(DOTS_PER_INCH)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return encode_uri(buffer.getvalue(), "image/png")
