"""Mean ranks of methods over tasks, and whether they differ: Friedman, Nemenyi, Wilcoxon."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from da_framework.core.errors import listed
from da_framework.core.rounding import format_fixed, format_p
from da_framework.core.text import markdown_code
from da_framework.results.statistics import LEVEL, Row

FEWEST_TASKS = 6
"""Tasks from which on ranks are tested."""


@dataclass(frozen=True)
class Ranks:
    """Methods in the order of their mean ranks over tasks; 1 is the best, equals share a rank.

    Attributes:
        names: of the methods.
        means: mean rank of each.
        tasks: that all of them have.
        left_out: methods that do not have all tasks.
        test: ``Friedman`` of three methods or more, ``Wilcoxon`` of two; empty for fewer than six
            tasks, or where all ranks are equal.
        statistic, p: of the test.
        distance: Nemenyi's critical difference of two mean ranks at the level .05, after a
            significant Friedman test.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]
    test: str = ""
    statistic: float | None = None
    p: float | None = None
    distance: float | None = None

    def alike(self, n: int) -> list[str]:
        """The methods that the n-th is not told apart from."""
        others = [k for k in range(len(self.names)) if k != n]
        if self.distance is not None:
            near = self.distance
            return [self.names[k] for k in others if abs(self.means[k] - self.means[n]) < near]
        apart = self.test == "Wilcoxon" and self.p is not None and self.p < LEVEL
        return [] if apart else [self.names[k] for k in others]

    def cliques(self) -> list[tuple[float, float]]:
        """First and last mean rank of each largest group that the test does not tell apart."""
        if self.distance is None:
            return []
        groups: list[tuple[float, float]] = []
        for first in self.means:
            last = max(mean for mean in self.means if mean - first < self.distance)
            # of two that end alike the later lies within the other
            if last > first and (not groups or last > groups[-1][1]):
                groups.append((first, last))
        return groups


def rank_rows(rows: Sequence[Row]) -> Ranks | None:
    """The ranks of a report's methods by the last step's accuracy, means over seeds.

    None where fewer than two methods have all of two tasks or more.
    """
    scores: dict[str, dict[str, float]] = {}
    for row in rows:
        if (figure := row.figures["last"]) is not None:
            scores.setdefault(row.name, {})[row.task] = figure.mean
    # a task without target labels ranks nothing
    return rank_methods(scores, tuple(dict.fromkeys(row.task for row in rows if row.is_known)))


def rank_methods(scores: Mapping[str, Mapping[str, float]], tasks: Sequence[str]) -> Ranks | None:
    """Mean ranks of methods by their scores, higher is better.

    The test is that of Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets",
    JMLR 2006: Friedman's over tasks, and if it is significant Nemenyi's for all pairs; of two
    methods Wilcoxon's signed ranks. https://jmlr.org/papers/v7/demsar06a.html

    Args:
        scores: method to task to score.
        tasks: of all.
    """
    complete = [name for name, row in scores.items() if all(task in row for task in tasks)]
    if len(complete) < 2 or len(tasks) < 2:
        return None
    table = np.array([[scores[name][task] for name in complete] for task in tasks])
    means = task_ranks(table).mean(0)
    order = sorted(range(len(complete)), key=lambda n: (means[n], n))
    test, statistic, p = compare_methods(table) if len(tasks) >= FEWEST_TASKS else ("", None, None)
    distance = None
    if test == "Friedman" and p is not None and p < LEVEL:
        distance = critical_difference(len(complete), len(tasks))
    return Ranks(
        tuple(complete[n] for n in order),
        tuple(float(means[n]) for n in order),
        tuple(tasks),
        tuple(name for name in scores if name not in complete),
        *(test, statistic, p, distance),
    )


def task_ranks(table: np.ndarray) -> np.ndarray:
    """Ranks within each task (a line), 1 for the highest score; equals share the mean of theirs."""
    from scipy.stats import rankdata

    # equal but for the last bits is equal
    ranks: np.ndarray = rankdata(-table.round(9), axis=1)
    return ranks


def compare_methods(table: np.ndarray) -> tuple[str, float | None, float | None]:
    """The test that several methods do not differ: its name, statistic and p; none if all tie."""
    from scipy import stats

    columns = table.round(9).T
    if (columns == columns[0]).all():
        return "", None, None
    if len(columns) == 2:
        result = stats.wilcoxon(columns[0], columns[1])
        return "Wilcoxon", float(result.statistic), float(result.pvalue)
    result = stats.friedmanchisquare(*columns)
    return "Friedman", float(result.statistic), float(result.pvalue)


def critical_difference(methods: int, tasks: int) -> float:
    r"""By how much two mean ranks must differ at the level .05 (Nemenyi).

    .. math:: q_{.05} \sqrt{k (k + 1) / (6 N)}

    with k methods, N tasks, and q the quantile of the studentized range divided by the root of 2.
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - LEVEL, methods, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(methods * (methods + 1) / (6 * tasks))


def render_ranks(ranks: Ranks) -> str:
    """The ranks as a section in Markdown."""
    lines = ["| method | mean rank |", "|---|---|"]
    if ranks.test:
        lines = ["| method | mean rank | not told apart from |", "|---|---|---|"]
    for n, (name, mean) in enumerate(zip(ranks.names, ranks.means, strict=True)):
        alike = ", ".join(markdown_code(other, in_table=True) for other in ranks.alike(n))
        cells = [markdown_code(name, in_table=True), format_fixed(mean, 2)]
        lines.append(f"| {' | '.join(cells + [alike] * bool(ranks.test))} |")
    return "\n".join(
        [f"## Ranks over {len(ranks.tasks)} tasks", "", *lines, "", *rank_notes(ranks)]
    )


def rank_notes(ranks: Ranks) -> Iterator[str]:
    """What the ranks stand on, and what the test says."""
    yield (
        "Ranks of the last step's target accuracy, means over seeds, within each task; 1 is the "
        "best, equals share a rank."
    )
    if len(ranks.tasks) < FEWEST_TASKS:
        yield f"No test: it takes {FEWEST_TASKS} tasks or more."
    elif ranks.p is None or ranks.statistic is None:
        yield "No test: the methods are equal on every task."
    elif ranks.test == "Wilcoxon":
        verdict = "differ" if ranks.p < LEVEL else "are not told apart"
        yield (
            f"Wilcoxon's signed-rank test over tasks: W = {format_fixed(ranks.statistic)}, "
            f"{format_p(ranks.p)}, n = {len(ranks.tasks)}: the two {verdict}."
        )
    else:
        yield (
            f"Friedman test: χ² = {format_fixed(ranks.statistic, 2)} with {len(ranks.names) - 1} "
            f"degrees of freedom, {format_p(ranks.p)}, n = {len(ranks.tasks)} tasks."
        )
        yield (
            "It does not tell the methods apart, so no pair is tested."
            if ranks.distance is None
            else "Nemenyi's test for all pairs: mean ranks that differ by "
            f"{format_fixed(ranks.distance, 2)} or more differ at the level .05."
        )
    if ranks.left_out:
        yield f"Left out, for they do not have all tasks: {listed(ranks.left_out)}."
