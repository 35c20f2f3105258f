"""Figure of accuracy over the values of a config key: many runs, a panel a task."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from da_framework.core.text import figure_text
from da_framework.results.cells import Value
from da_framework.results.figure import save_figure
from da_framework.results.statistics import FEWEST, half_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP*X"
RATIO = 30
"""Of the largest to the smallest value: from there on the axis is logarithmic."""

Line = Mapping[Value | None, Sequence[float]]
"""Percents of the seeds of each value; those of ``None`` are of runs that do not have the key."""


def draw_lines(
    path: Path, panels: Mapping[str, Mapping[str, Line]], *, key: str, values: Sequence[Value]
) -> None:
    """Draws a panel a task, a line a name: the mean, and its 95 % interval over seeds.

    Of two seeds the values stand in its place.

    Runs without the key are a dashed level. Numbers are to scale; if a value is none, all values
    stand side by side and no line joins them.

    Args:
        path: of the figure.
        panels: task to name to line.
        key: what the values are of.
        values: in order.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    beside = 0.7 + 0.065 * max(map(len, [*names, "interval over seeds"]))  # inches of legend
    with save_figure(path, width=3.4 * columns + beside, height=3.1 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        drawn: dict[str, Any] = {}
        for axes, (task, lines) in zip(grid.flat, panels.items(), strict=False):
            places = place_values(axes, values)
            for name, line in lines.items():
                drawn[name] = draw_line(axes, line, places, names.index(name), len(names))
            axes.set(title=figure_text(task), xlabel=figure_text(key))
            axes.spines[["top", "right"]].set_visible(False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("target accuracy, last step (%)")
        figure.legend(
            drawn.values(),
            list(map(figure_text, drawn)),
            loc="outside right upper",
            frameon=False,
            fontsize=8,
            title="mean and 95 %\ninterval over seeds",
            title_fontsize=8,
            alignment="left",
        )


def place_values(axes: "Axes", values: Sequence[Value]) -> Mapping[Value, float]:
    """Where on the axis each value stands; sets its ticks."""
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        axes.set_xticks(range(len(values)), [figure_text(value) for value in values])
        axes.set_xlim(-0.5, len(values) - 0.5)
        return {value: float(place) for place, value in enumerate(values)}
    if min(numbers) > 0 and max(numbers) > RATIO * min(numbers):
        axes.set_xscale("log")
        axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
        axes.minorticks_off()
    return {number: float(number) for number in numbers}


def draw_line(
    axes: "Axes", line: Line, places: Mapping[Value, float], look: int, looks: int
) -> Any:
    """Draws one line, or one level; returns what the legend shows of it."""
    means = {value: mean(percents) for value, percents in line.items()}
    widths = {value: half_interval(percents) or 0.0 for value, percents in line.items()}
    colour, marker = f"C{look % 10}", MARKERS[look % len(MARKERS)]
    shade: dict[str, Any] = {"color": colour, "alpha": 0.15, "linewidth": 0}
    shown: Any = None
    if None in line:
        shown = axes.axhline(means[None], color=colour, linestyle="--", zorder=1)
        axes.axhspan(means[None] - widths[None], means[None] + widths[None], **shade)
    drawn = [value for value in places if value in line]
    if not drawn:
        return shown
    x = [places[value] for value in drawn]
    y, width = ([figures[value] for value in drawn] for figures in (means, widths))
    apart = any(isinstance(value, str) for value in places)
    if apart:
        x = [place + 0.5 * ((look + 0.5) / looks - 0.5) for place in x]
    if apart or len(drawn) == 1:
        shown = axes.errorbar(x, y, width, color=colour, fmt=marker, markersize=5, capsize=3)
    else:
        low, high = ([m + sign * w for m, w in zip(y, width, strict=True)] for sign in (-1, 1))
        axes.fill_between(x, low, high, **shade)
        (shown,) = axes.plot(x, y, color=colour, marker=marker, markersize=4)
    for place, value in zip(x, drawn, strict=True):
        if 1 < len(line[value]) < FEWEST:  # too few for an interval: the values themselves
            axes.scatter([place] * len(line[value]), line[value], s=12, color=colour, alpha=0.5)
    return shown
