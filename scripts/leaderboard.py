"""Ranks all methods that fit on the recorded tasks, and fills the page of experiments/leaderboard.

    python scripts/leaderboard.py
    python scripts/leaderboard.py --keep multirun   # the sweeps at other learning rates, recorded
    python scripts/leaderboard.py --rest            # what is to be run of the chosen rates

Nothing is trained: the runs are those of experiments/estimates and of experiments/leaderboard.
"""

import json
import shlex
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, cast

from da_framework.core.files import write_text
from da_framework.core.rounding import format_fixed, format_signed
from da_framework.core.text import replace_marked
from da_framework.results.cells import sides, task_of
from da_framework.results.figure import SOURCE, TARGET, save_figure
from da_framework.results.ranks import Ranks, rank_methods, rank_notes
from da_framework.results.record_schema import Pick, RunRecord
from da_framework.results.tables import gather_records, read_kept

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
RATES = README.with_name("rates.recorded.json")
"""Runs at a third and at three times the learning rate."""
FIRST_SEED = 1
"""That of the runs among which a learning rate is chosen; the others are run at the chosen one."""
SEEDS = (1, 2, 3)
BASELINE = "source_only"
BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"
BEGIN_RATES, END_RATES = "<!-- rates -->", "<!-- /rates -->"
GREY = "#9a9a9a"
PLACES = (
    ((5, 0), "left", "center"),
    ((-5, 0), "right", "center"),
    ((0, 5), "center", "bottom"),
    ((0, -5), "center", "top"),
)
"""Where a point's name may stand beside it, the best first."""

Runs = Mapping[str, Mapping[str, list[RunRecord]]]
"""Method to task to runs, a seed each."""
Rates = Mapping[str, Mapping[str, Mapping[float, list[RunRecord]]]]
"""Method to task to learning rate to runs, a seed each."""


def read_runs() -> Runs:
    """The recorded runs of the methods that have all tasks."""
    runs: dict[str, dict[str, list[RunRecord]]] = {}
    for kind, name in RECORDED.items():
        for record in read_kept(EXPERIMENTS / f"{name}.recorded.json"):
            own = runs.setdefault(record["choices"]["method"] or "", {})
            own.setdefault(f"{kind}: {task_of(record)}", []).append(record)
    tasks = runs[BASELINE].keys()
    return {method: own for method, own in runs.items() if own.keys() == tasks}


def read_rates(defaults: Runs) -> Rates:
    """The runs at all learning rates, of the tasks where every method has the others.

    Args:
        defaults: those at the default, which come first.
    """
    rates: dict[str, dict[str, dict[float, list[RunRecord]]]] = {}
    for method, own in defaults.items():
        for task, records in own.items():
            rates.setdefault(method, {})[task] = {learning_rate(records[0]): records}
    for record in json.loads(RATES.read_text("utf-8")):
        own_rates = rates[record["choices"]["method"]][f"{kind_of(record)}: {task_of(record)}"]
        own_rates.setdefault(learning_rate(record), []).append(record)
    tasks = [
        task
        for task in rates[BASELINE]
        if all(len(rates[BASELINE][task]) == len(own[task]) > 1 for own in rates.values())
    ]
    return {method: {task: own[task] for task in tasks} for method, own in rates.items()}


def kind_of(record: RunRecord) -> str:
    """What the samples are of a run of ``leaderboard/KIND_rates``."""
    experiment: str = cast(Any, record["choices"])["experiments"]
    return experiment.removeprefix("leaderboard/").split("_")[0]


def learning_rate(record: RunRecord) -> float:
    """The learning rate of a run."""
    rate: float = cast(Any, record["config"])["optimizer"]["lr"]
    return rate


def of_seed(records: Sequence[RunRecord], seed: int) -> RunRecord:
    """The run with a seed."""
    return next(record for record in records if record["config"]["seed"] == seed)


def score(record: RunRecord) -> float:
    """The validator's at the checkpoint it chose; a run without a finite one is never chosen."""
    value = record["target"].get("chosen", {}).get("score")
    return float("-inf") if value is None else value


def choose_rates(rates: Rates) -> dict[str, dict[str, float]]:
    """The learning rate by method and task whose first seed's run the validator scores best.

    No label of a target is seen. Of equals it is the default, which comes first.
    """
    return {
        method: {
            task: max(settings, key=lambda rate: score(of_seed(settings[rate], FIRST_SEED)))
            for task, settings in own.items()
        }
        for method, own in rates.items()
    }


def default_rates(rates: Rates) -> dict[str, dict[str, float]]:
    """The default learning rate by method and task."""
    return {
        method: {task: next(iter(settings)) for task, settings in own.items()}
        for method, own in rates.items()
    }


def of_finished_tasks(rates: Rates) -> Rates:
    """The tasks on which every method has all seeds at the learning rate that was chosen."""
    chosen = runs_at(rates, choose_rates(rates))
    tasks = [
        task
        for task in rates[BASELINE]
        if all(len(own[task]) == len(SEEDS) for own in chosen.values())
    ]
    return {method: {task: own[task] for task in tasks} for method, own in rates.items()}


def runs_at(rates: Rates, chosen: Mapping[str, Mapping[str, float]]) -> Runs:
    """The runs at the learning rates that were chosen."""
    return {
        method: {task: settings[chosen[method][task]] for task, settings in own.items()}
        for method, own in rates.items()
    }


def unfinished(rates: Rates) -> list[str]:
    """The sweeps that are to be run, so that every chosen rate has all seeds."""
    chosen = runs_at(rates, choose_rates(rates))
    methods: dict[tuple[str, ...], list[str]] = {}
    for method, own in chosen.items():
        for records in own.values():
            seeds = [record["config"]["seed"] for record in records]
            rest = [seed for seed in SEEDS if seed not in seeds]
            if rest:
                words = (
                    cast(Any, records[0]["choices"])["experiments"],
                    f"[{','.join(name for names in sides(records[0]) for name in names)}]",
                    f"{learning_rate(records[0]):g}",
                    ",".join(map(str, rest)),
                )
                methods.setdefault(words, []).append(method)
    return [
        shlex.join(
            [
                *("da", "train", f"experiments={experiment}", f"method={','.join(own)}"),
                *(f"dataset.pair={pair}", f"optimizer.lr={rate}", f"seed={seeds}"),
            ]
        )
        for (experiment, pair, rate, seeds), own in methods.items()
    ]


def keep_rates(folder: Path) -> None:
    """Records the runs of the sweeps at other learning rates: what ranks are made of alone."""
    folders = sorted(folder.glob("leaderboard-*_rates"))
    kept = [json.dumps(shorten(record)) for record in gather_records(folders, curves=False)]
    write_text(RATES, "[\n" + ",\n".join(kept) + "\n]\n")


def shorten(record: RunRecord) -> dict[str, Any]:
    """What ranks are made of; all else is as in the recorded run at the default."""
    choices = cast(Any, record["choices"])
    return {
        "command": record["command"],
        "choices": {key: choices[key] for key in ("experiments", "method")},
        "config": {
            "seed": record["config"]["seed"],
            "optimizer": {"lr": learning_rate(record)},
        },
        "domains": record["domains"],
        "target": {
            pick: {key: figures[key] for key in ("step", "score", "accuracy")}
            for pick, figures in cast(Any, record["target"]).items()
            if pick != "oracle"
        },
        "seconds": {"cpu": record["seconds"]["cpu"]},
        "code": record["code"],
    }


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


def render_rates(rates: Rates) -> str:
    """Beside each other: what the methods give at chosen learning rates and at the default.

    Gains are over what does not adapt, at the default.
    """
    picked, default = choose_rates(rates), default_rates(rates)
    after, before = (mean_accuracies(runs_at(rates, own), "last") for own in (picked, default))
    ranks, of_default = (rank(runs_at(rates, own), "last") for own in (picked, default))
    former = dict(zip(of_default.names, of_default.means, strict=True))
    heads = ("rank", "mean gain", "worst")
    head = ["method", *(f"{name}{end}" for name in heads for end in (", chosen", ", default"))]
    head += ["by choosing", "default kept"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for method, mean in zip(ranks.names, ranks.means, strict=True):
        now, then = (
            [own[method][task] - before[BASELINE][task] for task in rates[method]]
            for own in (after, before)
        )
        kept = sum(picked[method][task] == default[method][task] for task in rates[method])
        fields = [
            f"`{method}`",
            format_fixed(mean),
            format_fixed(former[method]),
            *map(format_signed, (fmean(now), fmean(then), min(now), min(then))),
            format_signed(fmean(now) - fmean(then)),
            str(kept),
        ]
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(
        [
            *lines,
            "",
            f"{len(ranks.tasks)} tasks: {', '.join(ranks.tasks)}. {' '.join(rank_notes(ranks))}",
            "",
            describe_choice(rates),
        ]
    )


def describe_choice(rates: Rates) -> str:
    """How often the default was kept, and what choosing is worth, beside the best by labels."""
    picked, default = choose_rates(rates), default_rates(rates)
    pairs = [(method, task) for method, own in rates.items() for task in own]
    kept = sum(picked[method][task] == default[method][task] for method, task in pairs)
    higher = sum(picked[method][task] > default[method][task] for method, task in pairs)
    after, before = (mean_accuracies(runs_at(rates, own), "last") for own in (picked, default))
    changes = [after[method][task] - before[method][task] for method, task in pairs]

    def accuracy(method: str, task: str, rate: float) -> float:
        run = of_seed(rates[method][task][rate], FIRST_SEED)
        return 100 * run["target"]["last"]["accuracy"]

    def mean_gain(taken: Callable[[str, str], float]) -> float:
        return fmean(
            taken(method, task) - accuracy(method, task, default[method][task])
            for method, task in pairs
        )

    def at_chosen(method: str, task: str) -> float:
        return accuracy(method, task, picked[method][task])

    def at_best(method: str, task: str) -> float:
        return max(accuracy(method, task, rate) for rate in rates[method][task])

    gained, possible = mean_gain(at_chosen), mean_gain(at_best)
    return (
        f"Of {len(pairs)} choices {kept} kept the default, {higher} took the higher rate and "
        f"{len(pairs) - kept - higher} the lower one. Choosing changed the accuracy by "
        f"{format_signed(fmean(changes))} points in the mean: it gained a point or more in "
        f"{sum(change >= 1 for change in changes)} and lost one or more in "
        f"{sum(change <= -1 for change in changes)}. With seed {FIRST_SEED} alone, among whose "
        f"runs it chooses, it is {format_signed(gained)}, and the best of the three by target "
        f"labels, which no method may use, {format_signed(possible)}."
    )


def draw(runs: Runs, rates: Rates) -> None:
    """Mean ranks at default and chosen learning rates, on the same tasks; gain beside cost."""
    ranks, chosen = (
        rank(runs_at(rates, own), "last") for own in (default_rates(rates), choose_rates(rates))
    )
    of_chosen = dict(zip(chosen.names, chosen.means, strict=True))
    points, cost = gains(runs, "last"), costs(runs)
    places = range(len(ranks.names))
    with save_figure(PICTURE, width=13, height=8) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(2, 3))
        alike = {ranks.names[0], *ranks.alike(0)}
        colours = [SOURCE if name in alike else GREY for name in ranks.names]
        left.scatter(ranks.means, places, c=colours, label="defaults")
        left.scatter(
            [of_chosen[name] for name in ranks.names],
            places,
            facecolors="none",
            edgecolors=TARGET,
            label="chosen learning rates",
        )
        left.legend(loc="upper right")
        if ranks.distance is not None:
            left.axvspan(ranks.means[0], ranks.means[0] + ranks.distance, color=SOURCE, alpha=0.12)
        left.set_yticks(places, ranks.names)
        left.invert_yaxis()
        shaded = "; shaded: not told apart from the first" if ranks.distance else ""
        left.set_xlabel(f"mean rank over {len(ranks.tasks)} tasks{shaded}")
        means = {name: (cost[name], fmean(points[name])) for name in ranks.names}
        for name, point in means.items():
            colour = TARGET if name == BASELINE else SOURCE if point[1] > 0 else GREY
            right.scatter(*point, color=colour)
        right.axhline(0, color=GREY, linewidth=0.8)
        right.set_xscale("log")
        right.margins(x=0.12)  # room for names
        ticks = (0.6, 0.8, 1, 1.5, 2)
        right.set_xticks(ticks, map(str, ticks), minor=False)
        right.minorticks_off()
        right.set(xlabel=f"times the processor time of {BASELINE}", ylabel="mean gain of defaults")
        figure.draw_without_rendering()  # lays the axes out, on which the room for names hangs
        label_points(right, means)


def label_points(axes: "Axes", points: Mapping[str, tuple[float, float]]) -> None:
    """Writes names beside their points, first of those that are farthest from 0.

    A name for which there is no room beside points and other names is left out.
    """
    from matplotlib.transforms import Bbox

    pixels = axes.transData.transform(list(points.values()))
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in pixels]
    for name in sorted(points, key=lambda name: -abs(points[name][1])):
        for offset, across, along in PLACES:
            label = axes.annotate(
                name,
                points[name],
                offset,
                textcoords="offset points",
                ha=across,
                va=along,
                size=7,
            )
            room = label.get_window_extent()
            inside = axes.bbox.containsx(room.x0) and axes.bbox.containsx(room.x1)
            if inside and not any(room.overlaps(other) for other in taken):
                taken.append(room)
                break
            label.remove()


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--keep", type=Path, help="the folder whose sweeps are recorded")
    parser.add_argument("--rest", action="store_true", help="prints the sweeps to be run")
    parsed = parser.parse_args()
    if parsed.keep:
        keep_rates(parsed.keep)
    recorded = read_runs()
    at_rates = read_rates(recorded)
    if parsed.rest:
        print(*unfinished(at_rates), sep="\n")
    else:
        finished = of_finished_tasks(at_rates)
        page = README.read_text("utf-8")
        page = replace_marked(page, BEGIN, END, render(recorded))
        page = replace_marked(page, BEGIN_RATES, END_RATES, render_rates(finished))
        write_text(README, page)
        draw(recorded, finished)
