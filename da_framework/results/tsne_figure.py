"""Figure of features of both sides in the plane, before and after training, by t-SNE."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from da_framework.core.array_cache import Array
from da_framework.core.errors import InputError
from da_framework.core.text import figure_text
from da_framework.results.figure import SOURCE, TARGET, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDES = ("source", "target")
LOOKS = {"source": (SOURCE, "o"), "target": (TARGET, "^")}
"""Colour and marker of each side."""
ITERATIONS = 500
"""Of t-SNE: twice as many lower its divergence by some three hundredths, and cost as much again."""
LEAST_SPREAD = 1e-15
"""Standard deviation of features from which on they can be laid out: with less, t-SNE crashes."""
MOST_LABELS = 40
"""Classes whose names are written into the figure."""
PANEL = 4.6
"""Inches of a panel's side."""
SPAN = np.array([0.72, 0.63]) * PANEL
"""Inches between the outermost points at least: beside them are margins, above and below titles."""


def draw_features(
    path: Path,
    moments: dict[str, dict[str, Array]],
    *,
    names: Mapping[str, str] | None = None,
    colour: Literal["side", "class"] = "side",
    title: str = "",
) -> None:
    """A panel a moment.

    Args:
        path: of the figure.
        moments: name to the features of each side, and their classes.
        names: of the domains of each side.
        colour: what it shows: the side, where each class's name stands in the midst of its source
            samples, or the class, by a key beside the panels.
        title: of the whole.

    Raises:
        InputError: the features of a moment are all alike.
    """
    for moment, arrays in moments.items():
        features = np.concatenate([arrays[side] for side in SIDES if side in arrays])
        if features.astype(np.float64).std(0).max() < LEAST_SPREAD:
            raise InputError(f"the features {moment} training are all alike")
    sides = {side: side for side in SIDES} | dict(names or {})
    classes = list_classes(moments)
    key = 1.6 if colour == "class" else 0.0
    with save_figure(path, width=PANEL * len(moments) + key, height=PANEL) as figure:
        panels = figure.subplots(1, len(moments), squeeze=False)[0]
        for axes, (moment, arrays) in zip(panels, moments.items(), strict=True):
            places = lay_out(arrays)
            for side, points in places.items():
                shown = figure_text(f"{side}: {sides[side]}" if names else side)
                looks: dict[str, Any] = {"color": LOOKS[side][0]}
                if colour == "class":
                    looks = {"c": class_colours(arrays[f"{side}_class"], classes)}
                axes.scatter(
                    *points.T,
                    s=11,
                    marker=LOOKS[side][1],
                    alpha=0.65,
                    linewidths=0,
                    label=shown,
                    **looks,
                )
            if colour == "side" and "source" in places and len(classes) <= MOST_LABELS:
                label_classes(axes, places["source"], arrays["source_class"])
            axes.set(title=f"{moment} training", xticks=[], yticks=[])
        handles, labels = panels[0].get_legend_handles_labels()
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=2, frameon=False, markerscale=2
        )
        if colour == "class":
            for handle in filter(None, legend.legend_handles):  # of no one class
                handle.set(color="#555555")
            add_key(figure, classes)
        figure.suptitle(figure_text(title, most=100), fontsize=10)


def list_classes(moments: Mapping[str, Mapping[str, Array]]) -> list[str]:
    """The classes of all samples, in order."""
    arrays = [
        arrays[f"{side}_class"] for arrays in moments.values() for side in SIDES if side in arrays
    ]
    return sorted({str(name) for array in arrays for name in array.tolist()})


def lay_out(arrays: Mapping[str, Array]) -> dict[str, Float[Array, "n 2"]]:
    """The places in the plane of the samples of each side."""
    from sklearn import manifold

    sides = [side for side in SIDES if side in arrays]
    features = np.concatenate([arrays[side] for side in sides]).astype(np.float64)
    perplexity = min(30.0, (len(features) - 1) / 3)
    layout = manifold.TSNE(perplexity=perplexity, init="pca", random_state=0, max_iter=ITERATIONS)
    plane = layout.fit_transform(features)
    ends = np.cumsum([len(arrays[side]) for side in sides])[:-1]
    return dict(zip(sides, np.split(plane, ends), strict=True))


def class_colours(labels: Array, classes: list[str]) -> list[Any]:
    """A colour for each sample by its class; beyond twenty classes neighbours look alike."""
    from matplotlib import colormaps

    few, many = colormaps["tab10" if len(classes) <= 10 else "tab20"], colormaps["turbo"]
    place = {name: n for n, name in enumerate(classes)}
    numbers = [place[str(name)] for name in labels.tolist()]
    return [few(n) if len(classes) <= 20 else many(n / len(classes)) for n in numbers]


def add_key(figure: Any, classes: list[str]) -> None:
    """Names the colours of the classes, as many as there is room for."""
    from matplotlib.lines import Line2D

    shown = classes[:MOST_LABELS]
    colours = class_colours(np.array(shown), classes)
    points = [Line2D([], [], marker="s", linestyle="", color=colour) for colour in colours]
    figure.legend(
        points,
        [figure_text(name, most=16) for name in shown],
        loc="outside right upper",
        frameon=False,
        fontsize=8 if len(shown) <= 20 else 6,
    )


def label_classes(axes: "Axes", points: Float[Array, "n 2"], labels: Array) -> None:
    """Writes the classes' names in the midst of their samples, none over another."""
    from matplotlib.patheffects import withStroke

    names = np.unique(labels)
    middles = np.array([np.median(points[labels == name], axis=0) for name in names])
    shown = [figure_text(name, most=12) for name in names]
    low, high = points.min(0), points.max(0)
    span = np.maximum(high - low, 1e-9)
    size = 10.0 if len(names) <= 20 else 7.0
    sizes = np.array([[text_width(text, size), 0.017 * size] for text in shown]) / SPAN
    inside = np.clip((middles - low) / span, sizes / 2, 1 - sizes / 2)
    places = separate_boxes(inside, sizes) * span + low
    for text, place, middle in zip(shown, places, middles, strict=True):
        axes.annotate(
            text,
            xy=tuple(middle),
            xytext=tuple(place),
            fontsize=size,
            weight="bold",
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            arrowprops={"arrowstyle": "-", "color": "#444444", "linewidth": 0.6},
        )


def text_width(text: str, size: float) -> float:
    """Inches that a bold text takes, with a little room beside it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    with warnings.catch_warnings():  # letters that the font does not have are as wide as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        drawn = TextPath((0, 0), text or " ", prop=FontProperties(weight="bold", size=size))
    return float(drawn.get_extents().width) / 72 + 0.06 if text.strip() else 0.06


def separate_boxes(
    centres: Float[Array, "k 2"], sizes: Float[Array, "k 2"], *, rounds: int = 500
) -> Float[Array, "k 2"]:
    """Moves boxes apart until none overlaps another, each as little as it must.

    Args:
        centres: of the boxes.
        sizes: their widths and heights, in the same units.
        rounds: at most so many moves.
    """
    places = centres.astype(np.float64)
    k = len(places)
    for _ in range(rounds):
        moved = False
        for i in range(k):
            for j in range(i):
                apart = places[i] - places[j]
                overlap = (sizes[i] + sizes[j]) / 2 - np.abs(apart)
                if (overlap <= 1e-9).any():
                    continue
                axis = int(overlap.argmin())
                step = np.zeros(2)
                # what lies on one spot is moved apart in the order given
                step[axis] = (overlap[axis] / 2 + 1e-6) * (1.0 if apart[axis] >= 0 else -1.0)
                places[i] += step
                places[j] -= step
                moved = True
        if not moved:
            break
    return places
