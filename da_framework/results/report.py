"""A report of runs: a table of cells, what all have in common, and ranks; in Markdown."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from types import MappingProxyType

from da_framework.core.errors import InputError, listed
from da_framework.core.rounding import format_fixed
from da_framework.core.text import markdown, markdown_code
from da_framework.results.cells import common_words, task_words
from da_framework.results.ranks import Ranks, rank_rows, render_ranks
from da_framework.results.record_schema import Pick, RunRecord
from da_framework.results.statistics import (
    FEWEST,
    LEVEL,
    NO_LABELS,
    PICKS,
    Row,
    compare_runs,
    format_spread,
    half_interval,
    is_baseline,
)
from da_framework.results.verified import Verified

MISSING_SEEDS = "†"
"""Of rows without seeds that others have."""


@dataclass(frozen=True)
class Report:
    """What is said of runs together.

    Attributes:
        rows: cells with their statistics.
        against: methods that the others are compared with.
        common: what all runs have in common, as overrides; no row's name holds it.
        shared: what all runs of a task have in common beside it, by task.
        ranks: of the methods over tasks, if there are several of both.
        verified: what audits have found of runs, by their folders.
    """

    rows: Sequence[Row]
    against: Sequence[str]
    common: Sequence[str]
    shared: Mapping[str, Sequence[str]]
    ranks: Ranks | None
    verified: Mapping[str, Verified] = field(default_factory=dict)

    @cached_property
    def unknown(self) -> list[Row]:
        """The rows whose accuracy is not known, for want of target labels."""
        return [row for row in self.rows if not row.is_known]

    def common_lines(self, show: Callable[[str], str] = str) -> list[str]:
        """What all runs have in common, and what those of a task have beside it.

        Args:
            show: how a name is written.
        """
        tasks: dict[tuple[str, ...], list[str]] = {}
        for task, words in self.shared.items():
            tasks.setdefault(tuple(words), []).append(show(task))
        lines = [("All runs", self.common), *((", ".join(t), words) for words, t in tasks.items())]
        return [f"{place}: {', '.join(map(show, words))}" for place, words in lines if words]

    @cached_property
    def columns(self) -> list[str]:
        """The heads of its table."""
        based = any(is_baseline(row.runs) for row in self.rows)
        verified = ["verified"] * bool(self.verified)
        if len(self.unknown) == len(self.rows):
            return ["task", "method", "validator score", *verified, "seeds"]
        columns = ["task", "method", *map(heading, PICKS), *verified]
        columns += ["validator score"] * bool(self.unknown)
        columns += map(above, self.against)
        return [*columns, "negative transfer", "seeds"] if based else [*columns, "seeds"]

    def fields(self, row: Row) -> list[str]:
        """A row of its table, in Markdown."""
        texts = dict(zip(self.columns, self.texts(row), strict=True))
        setting = ", ".join(map(markdown, row.setting))
        texts["method"] = f"{markdown_code(row.method, in_table=True)} {setting}".rstrip()
        named = texts.keys() & {"task", "verified"}  # the others are figures
        return [*(texts | {column: markdown(texts[column]) for column in named}).values()]

    def texts(self, row: Row) -> list[str]:
        """A row of its table, as it is read."""
        mark = MISSING_SEEDS if row.missing else ""
        none = "-" if row.is_known else "no labels"
        picks = zip(PICKS, row.figures.values(), strict=True)
        texts = {
            "task": row.task,
            "method": row.name,
            **{heading(pick): f"{figure}{mark}" if figure else none for pick, figure in picks},
            "verified": "; ".join(dict.fromkeys(own.brief for _, own in self.verified_in([row]))),
            "validator score": format_scores(row.scores),
            **{above(other): str(row.gains.get(other, "")) for other in self.against},
            "negative transfer": row.negative_transfer,
            "seeds": f"{len(row.runs)}{mark}",
        }
        return [texts[column] for column in self.columns]

    def verified_in(self, rows: Sequence[Row]) -> Iterator[tuple[RunRecord, Verified]]:
        """The audited runs of these rows, with what audits have found."""
        for run in runs_of(rows):
            if verified := self.verified.get(run.get("folder") or ""):
                yield run, verified

    def verified_lines(self) -> Iterator[str]:
        """What audits have found of its runs, in sentences."""
        for run, verified in self.verified_in(self.rows):
            name = f"{run['choices']['method']}, seed {run['config']['seed']}"
            yield from (f"{name}: {sentence}" for sentence in verified.sentences)

    def notes(self) -> Iterator[str]:
        """The notes below its table: how its figures came to be, and what audits have found."""
        if len(self.unknown) < len(self.rows):
            yield (
                "±: half of the 95 % t-interval over seeds, of accuracy in percent; of fewer than "
                f"{FEWEST} seeds the values stand in brackets. A half is rounded away from zero."
            )
        if self.unknown:
            validators = {run["choices"].get("validator") for run in runs_of(self.unknown)}
            yield (
                f"target accuracy: {NO_LABELS}. Such rows are in the order of the score of what "
                "the validator has chosen, mean over seeds, which is no proof that one is better."
                + (" Scores of different validators do not compare." if len(validators) > 1 else "")
            )
        gains = [gain for row in self.rows for gain in row.gains.values()]
        if gains:
            yield (
                "above: gain of the last step in points: the mean over the n seeds that both have, "
                "its 95 % t-interval, and the worst seed."
            )
        if tests := sum(gain.p is not None for gain in gains):
            yield (
                "p: paired t-test over seeds, corrected by Holm for all in its column "
                f"({tests} {'test' if tests == 1 else 'tests'} in this table)."
            )
        if any(row.negative_transfer for row in self.rows):
            yield (
                "negative transfer: below a method that does not adapt; yes where this test says "
                f"so (p < {LEVEL})."
            )
        if short := [row for row in self.rows if row.missing]:
            seeds = listed(sorted({seed for row in short for seed in row.missing}))
            yield f"{MISSING_SEEDS}: without seeds that other rows of the task have ({seeds})."
        if self.verified:
            yield (
                "verified: by labels that da audit has asked for, an interval of the accuracy in "
                "percent, or whether the run is better than those beside it."
            )


def runs_of(rows: Sequence[Row]) -> list[RunRecord]:
    """The runs of these rows."""
    return [run for row in rows for run in row.runs.values()]


def heading(pick: Pick) -> str:
    """The head of a pick's column."""
    return f"{pick} ± 95 % interval"


def above(method: str) -> str:
    """The head of the column of gains over a method."""
    return f"above {markdown_code(method, in_table=True)}"


def format_scores(scores: Sequence[float]) -> str:
    """A validator's scores over seeds, as figures are shown."""
    if not scores:
        return "-"
    return f"{format_fixed(fmean(scores), 4)}{format_spread(half_interval(scores), scores, 4)}"


def make_report(
    records: Sequence[RunRecord],
    *,
    against: Sequence[str] = (),
    verified: Mapping[str, Verified] = MappingProxyType({}),
) -> Report:
    """A report of runs.

    Args:
        records: of the runs.
        against: methods: how far the last step is above each on the same seeds and otherwise the
            same config; empty where there is no such run.
        verified: what audits have found of runs, by their folders.

    Raises:
        InputError: two runs of one cell have the same seed, or nothing is named so in ``against``.
    """
    if unknown := set(against) - (methods := {record["choices"]["method"] for record in records}):
        raise InputError(
            f"--against {listed(sorted(unknown))}: there is no such run; the methods here are "
            f"{listed(sorted(methods))}"
        )
    common = common_words(records)
    shared = task_words(records, common)
    rows = compare_runs(records, against=against, common=common, shared=shared)
    return Report(rows, tuple(against), tuple(common), shared, rank_rows(rows), verified)


def render_markdown(records: Sequence[RunRecord], *, against: Sequence[str] = ()) -> str:
    """The table of runs, below what they have in common."""
    return "\n".join(table_lines(make_report(records, against=against)))


def markdown_lines(report: Report) -> Iterator[str]:
    """A report in Markdown: its table with notes, and the ranks of its methods."""
    yield from table_lines(report)
    yield ""
    yield from report.notes()
    for sentence in report.verified_lines():
        yield ""
        yield markdown(sentence)
    if report.ranks:
        yield ""
        yield render_ranks(report.ranks)


def table_lines(report: Report) -> Iterator[str]:
    """A table in Markdown; what all runs have in common stands once above it."""
    if lines := report.common_lines(markdown):
        yield from (f"{line}." for line in lines)
        yield ""
    yield table_line(report.columns)
    yield "|---" * len(report.columns) + "|"
    for row in report.rows:
        yield table_line(report.fields(row))


def table_line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"
