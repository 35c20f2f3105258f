"""Figure of a run: losses, schedules and accuracies over steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from da_framework.core.text import figure_text
from da_framework.results.figure import SOURCE, TARGET, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATE = "lr"
"""The learning rate's name in the history."""
PREFIX = "train/"

History = Sequence[Mapping[str, Any]]


def draw_history(
    path: Path,
    history: History,
    picks: Mapping[str, Mapping[str, Any]],
    *,
    schedules: Sequence[str] = (),
    title: str = "",
) -> None:
    """Losses, schedules and accuracies, on axes of their own; the picked steps are marked.

    A method that is fitted in closed form takes no step: it has no losses, and two points where
    others have a curve.

    Args:
        path: of the figure.
        history: rows of figures by name, each with its step.
        picks: the evaluations that results show.
        schedules: names of what is no loss among the training's figures.
        title: of the whole.
    """
    trained = {name[len(PREFIX) :] for row in history for name in row if name.startswith(PREFIX)}
    losses = sorted(trained - {*schedules, RATE})
    known = [name for name in schedules if name in trained]
    panels = [*(["losses"] if losses else []), *(["schedules"] if known or varies(history) else [])]
    with save_figure(path, width=4.5 * (len(panels) + 1), height=3.4) as figure:
        *beside, accuracy = figure.subplots(1, len(panels) + 1, squeeze=False)[0]
        for axes, panel in zip(beside, panels, strict=True):
            names = losses if panel == "losses" else known
            draw_terms(axes, history, names)
            axes.set(xlabel="step", title=panel)
            rate = panel == "schedules" and varies(history)
            if rate:
                draw_rate(axes, history, alone=not names)
            if names:  # in the middle of the height neither begins nor ends, as a rule
                axes.legend(frameon=False, fontsize=8, loc="center right" if rate else "best")
        draw_accuracies(accuracy, history, picks, fitted=not trained)
        for axes in (*beside, accuracy):
            axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(figure_text(title, most=100), fontsize=10)


def varies(history: History) -> bool:
    """Whether the learning rate does."""
    return len({row[PREFIX + RATE] for row in history if PREFIX + RATE in row}) > 1


def read_column(history: History, name: str) -> tuple[list[int], list[float]]:
    """The steps that have a figure, and its values."""
    rows = [row for row in history if row.get(name) is not None]
    return [row["step"] for row in rows], [row[name] for row in rows]


def draw_terms(axes: "Axes", history: History, names: Sequence[str]) -> None:
    """A line a name; of a single reading a point."""
    for name in names:
        steps, values = read_column(history, PREFIX + name)
        axes.plot(steps, values, marker="o" if len(steps) == 1 else "", label=figure_text(name))


def draw_rate(axes: "Axes", history: History, *, alone: bool) -> None:
    """The learning rate, which is of another order than other schedules: on an axis to the right.

    Args:
        axes: of the schedules.
        history: rows of figures by name.
        alone: whether there is no other.
    """
    own = axes if alone else axes.twinx()
    own.plot(*read_column(history, PREFIX + RATE), color="#666666", linestyle="--")
    own.set_ylabel("learning rate" if alone else "learning rate (dashed)", color="#666666")
    own.spines["top"].set_visible(False)


def draw_accuracies(
    axes: "Axes", history: History, picks: Mapping[str, Mapping[str, Any]], *, fitted: bool
) -> None:
    """Held-out source and target accuracies; of a method without steps two points each."""
    for side, colour in (("source", SOURCE), ("oracle", TARGET)):
        steps, values = read_column(history, f"{side}/accuracy")
        if not steps:
            continue
        axes.plot(
            [min(n, 1) for n in range(len(steps))] if fitted else steps,
            values,
            color=colour,
            linestyle="" if fitted else "-",
            marker=("o" if side == "source" else "^") if fitted or len(steps) == 1 else "",
            label="source (held out)" if side == "source" else "target, by its hidden labels",
        )
    if fitted:
        axes.set_xticks([0, 1], ["before", "fitted"])
        axes.set_xlim(-0.5, 1.5)
    for name, marker, size in (("chosen", "o", 5), ("oracle", "s", 11)):
        accuracy = picks.get(name, {}).get("target", {}).get("accuracy")
        if accuracy is not None and not fitted:
            axes.plot(
                picks[name]["step"],
                accuracy,
                marker,
                color=TARGET,
                fillstyle="full" if name == "chosen" else "none",
                markersize=size,
                clip_on=False,  # whole at 100 % and at the last step
                label=name,
            )
    axes.set(xlabel="" if fitted else "step", title="accuracy", ylim=(0, 1.02))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="best")
