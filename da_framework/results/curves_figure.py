"""Target accuracy over steps of many runs, beside what a paper says it comes to."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from da_framework.results.figure import save_figure


def draw_curves(
    path: Path,
    panels: Mapping[str, Mapping[str, Sequence[Sequence[tuple[int, float]]]]],
    bands: Mapping[tuple[str, str], tuple[float, float]],
) -> None:
    """A panel a column, a line a run in its row's colour, which shades the row's band as well.

    Args:
        path: of the picture.
        panels: column to row to the readings of its runs: step and accuracy, a fraction of 1.
        bands: lowest and highest percent by row and column.
    """
    names = list(dict.fromkeys(row for rows in panels.values() for row in rows))
    columns = min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    with save_figure(path, width=4.2 * columns + 1.6, height=3.2 * lines) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        drawn = {}
        for axes, (column, rows) in zip(grid.flat, panels.items(), strict=False):
            for row, runs in rows.items():
                colour = f"C{names.index(row) % 10}"
                axes.axhspan(*bands[row, column], color=colour, alpha=0.12, linewidth=0)
                for own in runs:
                    steps, values = zip(*own, strict=True)
                    (drawn[row],) = axes.plot(
                        steps, [100 * value for value in values], color=colour, linewidth=1
                    )
            axes.set(title=column, xlabel="step", ylabel="target accuracy (%)", ylim=(0, 100))
            axes.spines[["top", "right"]].set_visible(False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        figure.legend(drawn.values(), drawn, loc="outside right upper", frameon=False, fontsize=8)
