"""Figure of a run: losses, schedules and accuracies over steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from da_framework.results.figure import SOURCE, TARGET, save_figure


def draw_history(
    path: Path, history: Sequence[Mapping[str, Any]], picks: Mapping[str, Mapping[str, Any]]
) -> None:
    """Terms on the left, accuracies with the picked steps on the right."""
    with save_figure(path, width=9.0, height=3.4) as figure:
        terms, accuracy = figure.subplots(1, 2)
        names = sorted({n for row in history for n in row if n.startswith("train/")} - {"train/lr"})
        for name in names:
            rows = [row for row in history if name in row]
            terms.plot([r["step"] for r in rows], [r[name] for r in rows], label=name[6:])
        terms.set(xlabel="step", title="losses and schedules")
        if names:
            terms.legend(frameon=False, fontsize=8)
        for side, colour in (("source", SOURCE), ("oracle", TARGET)):
            rows = [row for row in history if f"{side}/accuracy" in row]
            accuracy.plot(
                [r["step"] for r in rows],
                [r[f"{side}/accuracy"] for r in rows],
                color=colour,
                label=f"{side} (held out)" if side == "source" else "target, by its hidden labels",
            )
        for name, marker, size in (("chosen", "o", 5), ("oracle", "s", 11)):
            if name in picks:
                accuracy.plot(
                    picks[name]["step"],
                    picks[name]["target"]["accuracy"],
                    marker,
                    color=TARGET,
                    fillstyle="full" if name == "chosen" else "none",
                    markersize=size,
                    label=name,
                )
        accuracy.set(xlabel="step", title="accuracy", ylim=(0, 1))
        accuracy.legend(frameon=False, fontsize=8, loc="lower right")
        for axes in (terms, accuracy):
            axes.spines[["top", "right"]].set_visible(False)
