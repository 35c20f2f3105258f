"""Figure of target accuracy over steps: many runs, beside the values that a paper states."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from da_framework.results.figure import save_figure


def draw_curves(
    path: Path,
    panels: Mapping[str, Mapping[str, Sequence[Sequence[tuple[int, float]]]]],
    bands: Mapping[tuple[str, str], tuple[float, float]],
) -> None:
    """Draws a panel a column, a line a run in its row's colour, which shades its band as well.

    Args:
        path: of the figure.
        panels: column to row to the curves of its runs: step and accuracy, a fraction of 1.
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
                for curve in runs:
                    steps, values = zip(*curve, strict=True)
                    (drawn[row],) = axes.plot(
                        steps, [100 * value for value in values], color=colour, linewidth=1
                    )
            axes.set(title=column, xlabel="step", ylabel="target accuracy (%)", ylim=(0, 100))
            axes.spines[["top", "right"]].set_visible(False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        figure.legend(drawn.values(), drawn, loc="outside right upper", frameon=False, fontsize=8)
