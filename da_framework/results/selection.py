"""What settings give on the target, by what they were chosen by: DomainBed's three ways."""

import json
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from da_framework.core.errors import InputError
from da_framework.core.rounding import format_fixed
from da_framework.core.text import markdown_code
from da_framework.results.cells import assign_cells, differing_keys, flatten
from da_framework.results.record_schema import RunRecord
from da_framework.results.statistics import format_spread, half_interval, target_accuracy

LEFT_OUT = "dataset.left_out"
WAYS = ("held-out source", "source left out", "oracle (uses target labels)")
"""What settings are chosen by, in the order of the table."""


class Trial(NamedTuple):
    """The runs of one method, one seed and one target, whatever their settings.

    Attributes:
        method: its name.
        task: all sources, those that were left out too, and the target.
        seed: of the runs.
    """

    method: str
    task: str
    seed: int


class Setting:
    """The runs of one setting in a trial.

    Args:
        sources: all of them.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self.sources = frozenset(sources)
        self.whole: RunRecord | None = None
        self.without: dict[str, RunRecord] = {}

    def add(self, record: RunRecord) -> None:
        """Puts a run where it belongs.

        Raises:
            InputError: there is one already.
        """
        left_out = record["config"]["dataset"].get("left_out")
        former = self.whole if left_out is None else self.without.get(left_out)
        if former is not None:
            raise InputError(
                f"two runs of one config with seed {record['config']['seed']}: "
                f"{former['command']} and {record['command']}; report one folder at a time"
            )
        if left_out is None:
            self.whole = record
        else:
            self.without[left_out] = record

    def target(self) -> float | None:
        """Accuracy on the target of the run on all sources."""
        return None if self.whole is None else target_accuracy(self.whole)

    def score(self, way: str) -> float | None:
        """What it is chosen by; none where runs for it are missing.

        By a source left out it is the mean accuracy on each source of the run without it, and a
        setting counts only if every source was left out once.
        """
        if way == WAYS[1]:
            scores = [source_accuracy(record) for record in self.without.values()]
            known = [score for score in scores if score is not None]
            complete = self.without.keys() == self.sources and len(known) == len(scores)
            return fmean(known) if complete else None
        if self.whole is None:
            return None
        return source_accuracy(self.whole) if way == WAYS[0] else self.target()


def source_accuracy(record: RunRecord) -> float | None:
    """Accuracy at the last step on what validators saw of the source."""
    figures = record.get("source", {}).get("last")
    return None if figures is None else figures.get("accuracy")


def gather_settings(records: Sequence[RunRecord]) -> dict[Trial, dict[str, Setting]]:
    """The settings of every trial, by their config less what a choice among them keeps."""
    trials: dict[Trial, dict[str, Setting]] = {}
    for record, cell in zip(records, assign_cells(records, over=LEFT_OUT), strict=True):
        left_out = record["config"]["dataset"].get("left_out")
        sources = [*record["domains"]["source"], *([] if left_out is None else [left_out])]
        task = f"{'+'.join(sorted(sources))} → {'+'.join(record['domains']['target'])}"
        trial = Trial(cell.method, task, record["config"]["seed"])
        setting = trials.setdefault(trial, {}).setdefault(cell.config, Setting(sources))
        setting.add(record)
    return trials


def choose(settings: Mapping[str, Setting], way: str) -> tuple[str, Setting] | None:
    """The setting with the best score, of those with a run on all sources; none if there is none.

    Where several are equal it is the first.
    """
    best: tuple[str, Setting] | None = None
    highest = -1.0
    for config, setting in settings.items():
        score = setting.score(way)
        if score is not None and setting.target() is not None and score > highest:
            best, highest = (config, setting), score
    return best


def render_selection(records: Sequence[RunRecord]) -> str:
    """A row for each task and method: accuracy on the target, by what the settings are chosen by.

    Raises:
        InputError: no source was left out in any of these runs.
    """
    if not any(record["config"]["dataset"].get("left_out") for record in records):
        raise InputError(
            "no run here has left a source out: da train -m dataset.left_out=null,a,b with every "
            "source in turn"
        )
    trials = gather_settings(records)
    heads = ["task", "method", *WAYS, "settings", "seeds"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    notes: list[str] = []
    for task, method in dict.fromkeys((trial.task, trial.method) for trial in trials):
        own = {t.seed: s for t, s in trials.items() if (t.task, t.method) == (task, method)}
        cells = [format_choices(own, way) for way in WAYS]
        count = len({config for settings in own.values() for config in settings})
        name = markdown_code(method, in_table=True)
        lines.append(f"| {task} | {name} | {' | '.join(cells)} | {count} | {len(own)} |")
        notes += [f"{name}, {task}, {note}" for note in describe_choices(own)]
    return "\n".join(
        [
            *lines,
            "",
            "Accuracy on the target in percent at the last step of the run on all sources, of the "
            "settings that each seed chooses: by accuracy on held-out samples of the sources, by "
            "the mean accuracy on each source of the run without it, and by the target's labels, "
            "which no method may use. ±: half of the 95 % t-interval over seeds.",
            *(f"- {note}" for note in notes),
        ]
    )


def format_choices(own: Mapping[int, Mapping[str, Setting]], way: str) -> str:
    """Mean accuracy on the target over seeds; a dash where one of them can choose nothing."""
    values: list[float] = []
    for settings in own.values():
        if (best := choose(settings, way)) is None or (value := best[1].target()) is None:
            return "-"
        values.append(100 * value)
    return format_fixed(fmean(values)) + format_spread(half_interval(values), values)


def describe_choices(own: Mapping[int, Mapping[str, Setting]]) -> Iterator[str]:
    """What was chosen by a source left out, where there was a choice; and what could not be."""
    for seed, settings in own.items():
        lacking = sum(setting.score(WAYS[1]) is None for setting in settings.values())
        if lacking:
            yield (
                f"seed {seed}: {lacking} of {len(settings)} settings are without a run for each "
                "source left out, and are not chosen by it"
            )
        best = choose(settings, WAYS[1])
        if best is not None and len(settings) > 1:
            configs = [flatten(json.loads(config)) for config in settings]
            chosen = flatten(json.loads(best[0]))
            words = " ".join(f"{key}={chosen.get(key, '')}" for key in differing_keys(configs))
            yield f"seed {seed}, by a source left out: `{words}`"
