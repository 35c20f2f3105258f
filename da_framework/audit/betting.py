"""Betting on a finite pool: what is known of its sum after each draw, at any look."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Draws = NDArray[np.float64]
"""Values in [-1, 1], in the order drawn."""

BETS = (np.arange(20) + 0.5) / 20
"""Shares of the wealth that are bet, of which the mean is taken: no best one need be known."""
CAUTION = 0.999
"""Of the largest bet that no draw can lose all by."""


def betting_wealth(draws: Draws, *, total: int, size: int) -> NDArray[np.float64]:
    r"""The wealth, after each draw, of who bets that a pool's sum is more than a candidate.

    .. math::
        e_n(D) = \frac{1}{|\Lambda|} \sum_{\lambda \in \Lambda} \prod_{i \le n}
            \left(1 + \min\left(\lambda, \frac{.999}{1 + \mu_i}\right) (x_i - \mu_i)\right), \quad
        \mu_i = \frac{D - \sum_{j < i} x_j}{m - i + 1}

    Under a sum of exactly D, :math:`\mu_i` is the mean of the next draw given those before, so that
    the wealth is a martingale of mean 1 (Ville: it ever reaches :math:`1/a` with probability
    :math:`a` at most). Each factor falls in :math:`\mu_i`, so that it is a test of all smaller sums
    as well. A sum that the draws have made impossible has infinite wealth against it.

    Waudby-Smith, Ramdas, "Estimating Means of Bounded Random Variables by Betting", JRSS B 2024,
    section 5: sampling without replacement. https://arxiv.org/abs/2010.09686

    Args:
        draws: drawn uniformly, without replacement.
        total: the candidate D.
        size: of the pool, m.

    Returns:
        A value a draw, and 1 before the first.
    """
    before = np.concatenate([[0.0], np.cumsum(draws)])
    left = size - np.arange(len(draws) + 1)
    means = np.clip((total - before[:-1]) / left[:-1], -1, 1)
    with np.errstate(divide="ignore"):
        bets = np.minimum(BETS[:, None], CAUTION / (1 + means))
    logs = np.log1p(bets * (draws - means)).cumsum(1)
    top = logs.max(0)
    with np.errstate(over="ignore"):  # more than a number can hold is infinite
        wealth = np.concatenate([[1.0], np.exp(top) * np.exp(logs - top).mean(0)])
    wealth[total < before - left - 1e-9] = np.inf
    return wealth


def is_refuted(draws: Draws, *, total: int, size: int, alpha: float) -> bool:
    """Whether, at some look, the pool's sum is known to be more than a candidate."""
    return bool(betting_wealth(draws, total=total, size=size).max() >= 1 / alpha)


def sum_interval(draws: Draws, *, size: int, alpha: float) -> tuple[int, int]:
    """The whole sums that the draws leave possible, by bets on either side at half of the error.

    The true sum is among them at all looks together with probability ``1 - alpha`` at least. When
    all of the pool is drawn, it is the one that is left.

    Args:
        draws: whole values from -1 to 1, drawn uniformly, without replacement.
        size: of the pool.
        alpha: the error.
    """
    drawn, left = round(float(draws.sum())), size - len(draws)
    low, high = drawn - left, drawn + left

    def least(side: int) -> int:
        """The least sum on a side that is not refuted: its own sums have the sign turned."""
        first, last = (low, high) if side == 1 else (-high, -low)
        while first < last:
            middle = (first + last) // 2
            if is_refuted(side * draws, total=middle, size=size, alpha=alpha / 2):
                first = middle + 1
            else:
                last = middle
        return side * first

    ends = least(1), least(-1)
    return min(ends), max(ends)  # turned only where the true sum was refuted


Outcome = Literal["better", "worse", "equal", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What labels say of a model beside another.

    Attributes:
        outcome: of the first.
        labels: how many of the samples that they differ on have one.
        differ: how many there are of these.
        samples: of the pool.
        low, high: ends of the interval of the gain in accuracy, fractions of 1.
    """

    outcome: Outcome
    labels: int
    differ: int
    samples: int
    low: float
    high: float

    def seen_from(self, side: int) -> "Verdict":
        """The same of the second model, where the side is -1."""
        if side == 1:
            return self
        turned: dict[Outcome, Outcome] = {"better": "worse", "worse": "better"}
        outcome = turned.get(self.outcome, self.outcome)
        return replace(self, outcome=outcome, low=-self.high, high=-self.low)

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "outcome": self.outcome,
            "labels": self.labels,
            "differ": self.differ,
            "gain": [self.low, self.high],
        }


def judge(draws: Draws, *, differ: int, samples: int, alpha: float) -> Verdict:
    """Judges a model beside another by the labels of samples that they differ on.

    With W samples of the pool that the first alone has right and L that the second alone has, the
    gain in accuracy is (W - L) / N. Verdict and interval are one statement.

    Args:
        draws: 1 where the first alone is right, -1 where the second alone is, 0 where neither is.
        differ: how many samples of the pool they differ on.
        samples: N, of the pool.
        alpha: probability of a wrong verdict at any look, at most.
    """
    low, high = sum_interval(draws, size=differ, alpha=alpha)
    outcome: Outcome = "undecided"
    if low > 0:
        outcome = "better"
    elif high < 0:
        outcome = "worse"
    elif low == high == 0:
        outcome = "equal"
    return Verdict(outcome, len(draws), differ, samples, low / samples, high / samples)


def labels_to_verdict(draws: Draws, *, size: int, alpha: float) -> tuple[int | None, int]:
    """After how many draws the sign of a pool's sum is known, and which it is taken for.

    Args:
        draws: of the whole pool, in an order.
        size: of the pool.
        alpha: the error.

    Returns:
        The number, none where the sum is 0 to the end; and the sign.
    """
    sides = [betting_wealth(s * draws, total=0, size=size) >= 2 / alpha for s in (1, -1)]
    firsts = [int(np.argmax(side)) if side.any() else size + 1 for side in sides]
    first = min(firsts)
    if first > size:
        return None, 0
    return first, 1 if firsts[0] == first else -1
