"""Ranks all methods that fit on the recorded tasks, and fills the page of experiments/leaderboard.

    python scripts/leaderboard.py

Nothing is trained: the runs are those of experiments/estimates and of experiments/leaderboard.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, median

from da_framework.core.files import write_text
from da_framework.core.rounding import format_fixed, format_signed
from da_framework.core.text import replace_marked
from da_framework.results.cells import task_of
from da_framework.results.figure import SOURCE, TARGET, save_figure
from da_framework.results.ranks import Ranks, rank_methods, rank_notes
from da_framework.results.record_schema import Pick, RunRecord
from da_framework.results.tables import read_kept

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
README = EXPERIMENTS / "leaderboard" / "README.md"
PICTURE = README.with_name("leaderboard.png")
RECORDED = {
    "digits": "estimates/digits",
    "reviews": "estimates/amazon",
    "photographs": "estimates/office",
    "emoji": "leaderboard/emoji",
}
"""The recorded sweeps, by what their samples are."""
BASELINE = "source_only"
BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"

Runs = Mapping[str, Mapping[str, list[RunRecord]]]
"""Method to task to runs, a seed each."""


def read_runs() -> Runs:
    """The recorded runs of the methods that have all tasks."""
    runs: dict[str, dict[str, list[RunRecord]]] = {}
    for kind, name in RECORDED.items():
        for record in read_kept(EXPERIMENTS / f"{name}.recorded.json"):
            own = runs.setdefault(record["choices"]["method"] or "", {})
            own.setdefault(f"{kind}: {task_of(record)}", []).append(record)
    tasks = runs[BASELINE].keys()
    return {method: own for method, own in runs.items() if own.keys() == tasks}


def mean_accuracies(runs: Runs, pick: Pick) -> dict[str, dict[str, float]]:
    """Accuracy in percent by method and task, means over seeds."""

    def mean(records: list[RunRecord]) -> float:
        return 100 * fmean(record["target"][pick]["accuracy"] for record in records)

    return by_task(runs, mean)


def by_task(runs: Runs, value: Callable[[list[RunRecord]], float]) -> dict[str, dict[str, float]]:
    """A value of the runs of each method and task."""
    return {
        method: {task: value(records) for task, records in own.items()}
        for method, own in runs.items()
    }


def rank(runs: Runs, pick: Pick) -> Ranks:
    """The methods' ranks by what a pick has."""
    ranks = rank_methods(mean_accuracies(runs, pick), tuple(runs[BASELINE]))
    assert ranks
    return ranks


def costs(runs: Runs) -> dict[str, float]:
    """How many times the processor time of what does not adapt, the median over tasks."""
    seconds = by_task(runs, lambda own: fmean(record["seconds"]["cpu"] for record in own))
    return {
        method: median(own[task] / seconds[BASELINE][task] for task in own)
        for method, own in seconds.items()
    }


def gains(runs: Runs, pick: Pick) -> dict[str, list[float]]:
    """Points above what does not adapt, by method, a task each."""
    accuracies = mean_accuracies(runs, pick)
    return {
        method: [own[task] - accuracies[BASELINE][task] for task in own]
        for method, own in accuracies.items()
    }


def render(runs: Runs) -> str:
    """The table, best first, and what the test says."""
    last, chosen = rank(runs, "last"), rank(runs, "chosen")
    of_chosen = dict(zip(chosen.names, chosen.means, strict=True))
    points, of_pick, cost = gains(runs, "last"), gains(runs, "chosen"), costs(runs)
    head = ("method", "mean rank", "of chosen", "mean gain", "of chosen", "worst", "times its time")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for method, mean in zip(last.names, last.means, strict=True):
        fields = [
            f"`{method}`",
            format_fixed(mean),
            format_fixed(of_chosen[method]),
            format_signed(fmean(points[method])),
            format_signed(fmean(of_pick[method])),
            format_signed(min(points[method])),
            format_fixed(cost[method]),
        ]
        lines.append(f"| {' | '.join(fields)} |")
    best = last.names[0]
    return "\n".join(
        [
            *lines,
            "",
            " ".join(rank_notes(last)),
            "",
            f"Not told apart from `{best}`, the first: {len(last.alike(0))} of the others.",
        ]
    )


def draw(runs: Runs) -> None:
    """Mean ranks with the critical difference from the first, and gain beside cost."""
    ranks, points, cost = rank(runs, "last"), gains(runs, "last"), costs(runs)
    places = range(len(ranks.names))
    with save_figure(PICTURE, width=13, height=8) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(2, 3))
        alike = {ranks.names[0], *ranks.alike(0)}
        colours = [SOURCE if name in alike else "#9a9a9a" for name in ranks.names]
        left.scatter(ranks.means, places, c=colours)
        if ranks.distance is not None:
            left.axvspan(ranks.means[0], ranks.means[0] + ranks.distance, color=SOURCE, alpha=0.12)
        left.set_yticks(places, ranks.names)
        left.invert_yaxis()
        left.set_xlabel("mean rank over tasks; shaded: not told apart from the first")
        for name in ranks.names:
            mean = fmean(points[name])
            colour = TARGET if name == BASELINE else SOURCE if mean > 0 else "#9a9a9a"
            right.scatter(cost[name], mean, color=colour)
            right.annotate(name, (cost[name], mean), (3, 2), textcoords="offset points", size=6.5)
        right.axhline(0, color="#9a9a9a", linewidth=0.8)
        right.set_xscale("log")
        ticks = (0.6, 0.8, 1, 1.5, 2)
        right.set_xticks(ticks, map(str, ticks), minor=False)
        right.minorticks_off()
        right.set(xlabel=f"times the processor time of {BASELINE}", ylabel="mean gain in points")


if __name__ == "__main__":
    recorded = read_runs()
    table = render(recorded)
    write_text(README, replace_marked(README.read_text("utf-8"), BEGIN, END, table))
    draw(recorded)
    print(table)
