"""Figure of a stream: accuracy over the samples that have passed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from da_framework.core.text import figure_text
from da_framework.results.figure import TARGET, save_figure


def draw_stream(
    path: Path,
    curve: Sequence[Mapping[str, Any]],
    resets: Sequence[int],
    *,
    title: str,
) -> None:
    """Accuracy of stretches and of all samples so far; resets are lines.

    Args:
        path: of the figure.
        curve: points, as a stream's record has them, with an accuracy each.
        resets: after how many samples the method was reset.
        title: of the whole.
    """
    with save_figure(path, width=6.4, height=3.4) as figure:
        axes = figure.subplots()
        places = [point["samples"] for point in curve]
        for name, style, label in (
            ("accuracy", "-", "of a stretch"),
            ("cumulative", "--", "of all so far"),
        ):
            axes.plot(places, [point[name] for point in curve], style, color=TARGET, label=label)
        for place in resets:
            axes.axvline(place, color="#666666", linewidth=0.8, linestyle=":")
        axes.set(xlabel="samples that have passed", ylabel="accuracy", ylim=(0, 1.02))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="best")
        figure.suptitle(figure_text(title, most=100), fontsize=10)
