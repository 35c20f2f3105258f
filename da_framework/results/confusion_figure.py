"""Figure of a confusion matrix: which classes are taken for which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from da_framework.core.array_cache import Array
from da_framework.core.rounding import format_fixed, format_percent
from da_framework.core.text import figure_text
from da_framework.results.figure import save_figure

MOST_NAMED, MOST_CLASSES = 40, 1000
"""Classes that have room for their names, and for a dot each."""


def draw_confusion(
    path: Path,
    true: Int[Array, " rows"],
    predicted: Int[Array, " rows"],
    classes: Sequence[str],
    *,
    title: str = "",
) -> None:
    """Draws a confusion matrix: a row is a true class, in percent of its own samples.

    Of more classes than have a dot each, those are shown that are mistaken most often.

    Args:
        path: of the figure.
        true, predicted: class of each sample.
        classes: their names.
        title: of the run: its method, domains and seed.
    """
    shown = np.arange(len(classes))
    if len(classes) > MOST_CLASSES:
        shown = most_mistaken(true, predicted, len(classes))
    share = share_by_class(true, predicted, shown, len(classes))
    k = len(shown)
    side = min(3.2 + 0.32 * k, 16.0)
    with save_figure(path, width=side + 0.6, height=side) as figure:
        axes = figure.subplots()
        image = axes.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
        figure.colorbar(image, ax=axes, shrink=0.8, label="percent of the true class")
        accuracy = format_percent(float((true == predicted).mean()))
        axes.set(xlabel="predicted", ylabel="true")
        part = f"; the {k} of {len(classes)} classes most mistaken" if k < len(classes) else ""
        lines = [figure_text(title, most=60), f"target accuracy {accuracy}{part}"]
        axes.set_title("\n".join(filter(None, lines)), fontsize=10)
        if k <= MOST_NAMED:
            names = [figure_text(classes[int(number)], most=24) for number in shown]
            axes.set_xticks(range(k), names, rotation=90 if max(map(len, names)) > 2 else 0)
            axes.set_yticks(range(k), names)
        if k <= 12:
            for i in range(k):
                for j in range(k):
                    if share[i, j] >= 0.005:
                        colour = "white" if share[i, j] > 0.5 else "black"
                        text = format_fixed(100 * float(share[i, j]), 0)
                        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)


def most_mistaken(
    true: Int[Array, " rows"], predicted: Int[Array, " rows"], k: int
) -> Int[Array, " shown"]:
    """The classes that are taken for others, or others for them, most often."""
    wrong = true != predicted
    mistakes = sum(np.bincount(labels[wrong], minlength=k) for labels in (true, predicted))
    return np.sort(np.argsort(-mistakes, kind="stable")[:MOST_NAMED])


def share_by_class(
    true: Int[Array, " rows"], predicted: Int[Array, " rows"], shown: Int[Array, " shown"], k: int
) -> Float[Array, "shown shown"]:
    """The share of some classes' samples that are taken for each of these classes."""
    size = len(shown)
    place = np.full(k, size)
    place[shown] = np.arange(size)
    row, column = place[true], place[predicted]
    here = (row < size) & (column < size)
    counts = np.bincount(row[here] * size + column[here], minlength=size**2).reshape(size, size)
    samples = np.bincount(true, minlength=k)[shown].clip(1)
    share: Array = counts.astype(np.float32) / samples[:, None].astype(np.float32)
    return share
