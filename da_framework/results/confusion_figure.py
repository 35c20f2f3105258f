"""Figure of a confusion matrix: which classes are taken for which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from da_framework.core.array_cache import Array
from da_framework.core.rounding import format_fixed, format_percent
from da_framework.core.text import figure_text
from da_framework.results.figure import save_figure


def draw_confusion(
    path: Path, counts: Int[Array, "k k"], classes: Sequence[str], *, title: str = ""
) -> None:
    """Draws a confusion matrix: a row is a true class, in percent of its own samples.

    Args:
        path: of the figure.
        counts: of samples, by true and predicted class.
        classes: their names.
        title: of the run: its method, domains and seed.
    """
    k = len(classes)
    share = counts.astype(np.float32) / counts.sum(1, keepdims=True).clip(1).astype(np.float32)
    side = min(3.2 + 0.32 * k, 16.0)
    with save_figure(path, width=side + 0.6, height=side) as figure:
        axes = figure.subplots()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
        accuracy = counts.trace() / counts.sum()
        axes.set(xlabel="predicted", ylabel="true")
        lines = [figure_text(title, most=60), f"target accuracy {format_percent(float(accuracy))}"]
        axes.set_title("\n".join(filter(None, lines)), fontsize=10)
        if k <= 40:
            names = [figure_text(name, most=24) for name in classes]
            axes.set_xticks(range(k), names, rotation=90 if max(map(len, names)) > 2 else 0)
            axes.set_yticks(range(k), names)
        if k <= 12:
            for i in range(k):
                for j in range(k):
                    if share[i, j] >= 0.005:
                        colour = "white" if share[i, j] > 0.5 else "black"
                        text = format_fixed(100 * float(share[i, j]), 0)
                        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
