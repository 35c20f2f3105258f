"""Verdicts on several models at one error rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from da_framework.audit.betting import Verdict, judge, sum_interval
from da_framework.audit.pool import IntArray, Pool


@dataclass(frozen=True)
class Findings:
    """What the labels so far say.

    Attributes:
        alpha: probability that anything of it is wrong, at any look, at most.
        level: that of each pair.
        labels: how many count: those up to the first that is missing.
        pairs: of every two models, the later one first.
        left: the models that may be the best: the best is among them.
        accuracy: the interval of each model's accuracy, where it was asked for; fractions of 1.
    """

    alpha: float
    level: float
    labels: int
    pairs: dict[tuple[int, int], Verdict]
    left: tuple[int, ...]
    accuracy: tuple[tuple[float, float], ...] | None

    @property
    def best(self) -> int | None:
        """The best model, if it is known."""
        return self.left[0] if len(self.left) == 1 else None


def find_verdicts(
    pool: Pool,
    samples: Sequence[int],
    labels: Sequence[int],
    *,
    alpha: float,
    accuracy: bool = False,
) -> Findings:
    """What labels say of all models: each statement at its share of the error.

    Everything holds together with probability 1 - alpha. The best is lost only to one of the k - 1
    others that wins wrongly: elimination is at alpha / (k - 1) a comparison, of which a side has
    half, together alpha / 2. An interval that is wrong on the same side has then been wrong there
    too; of its k (k - 1) sides this leaves (k - 1)^2, which share the other half. Where accuracy
    is asked for, it has half of all.

    Args:
        pool: the samples and the models' answers.
        samples: that were labelled, in the order drawn, without a gap.
        labels: theirs, ``UNKNOWN`` where a person could not tell.
        alpha: the error.
        accuracy: whether samples on which all agree were drawn too.
    """
    k = len(pool.runs)
    level, beating = error_shares(k, alpha=alpha, accuracy=accuracy)

    def verdict(a: int, b: int, level: float) -> Verdict:
        draws = pool.compare(a, b, samples, labels)
        return judge(draws, differ=pool.differ(a, b), samples=pool.size, alpha=level)

    pairs = {(a, b): verdict(a, b, level) for a, b in pool.pairs}
    beaten = {
        loser
        for a, b in pool.pairs
        for found in [verdict(a, b, beating)]
        for loser in {"better": [b], "worse": [a]}.get(found.outcome, [])
    }
    intervals = None
    if accuracy:
        intervals = tuple(
            accuracy_interval(pool, run, samples, labels, alpha=alpha / 2 / k) for run in range(k)
        )
    return Findings(
        alpha,
        level,
        len(samples),
        pairs,
        tuple(run for run in range(k) if run not in beaten),
        intervals,
    )


def error_shares(models: int, *, alpha: float, accuracy: bool) -> tuple[float, float]:
    """The error of the interval of each pair, and of each comparison that eliminates a model."""
    share = alpha / 2 if accuracy else alpha
    return share / (models - 1) ** 2, share / (models - 1)


def accuracy_interval(
    pool: Pool, run: int, samples: Sequence[int], labels: Sequence[int], *, alpha: float
) -> tuple[float, float]:
    """The interval of a model's accuracy: bets in each stratum, at half of the error.

    What a person cannot tell counts as an error of the model.
    """
    rows, y = np.array(samples, dtype=np.int64), np.array(labels, dtype=np.int64)
    right = pool.answers[run][rows] == y
    ends = np.zeros(2)
    for stratum in (pool.deciding, pool.agreed):
        if len(stratum):
            draws = np.where(right[np.isin(rows, stratum)], 1.0, -1.0)
            low, high = sum_interval(draws, size=len(stratum), alpha=alpha / 2)
            # a sum s of m values of -1 and 1 has (s + m) / 2 of 1
            ends += (math.ceil((low + len(stratum)) / 2), (high + len(stratum)) // 2)
    return float(ends[0] / pool.size), float(ends[1] / pool.size)


def answered_prefix(order: IntArray, answers: dict[int, int]) -> tuple[list[int], list[int]]:
    """The labelled samples in the order drawn, up to the first without an answer.

    Whoever answers easy samples first chooses what counts; the order drawn does not.
    """
    samples, labels = [], []
    for question, sample in enumerate(order.tolist(), start=1):
        if question not in answers:
            break
        samples.append(sample)
        labels.append(answers[question])
    return samples, labels
