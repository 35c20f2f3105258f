"""Betting on a finite pool: by enumerating all orders, by a second test, and by many draws."""

import math
import warnings
from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pytest

from da_framework.audit.betting import (
    betting_wealth,
    judge,
    labels_to_verdict,
    sum_interval,
)

ALPHA = 0.05


def orders(wins: int, losses: int, ties: int) -> Iterator[np.ndarray]:
    """All orders of a pool that differ; each is as likely as any other."""
    counts = {1: wins, -1: losses, 0: ties}
    for values in product((1, -1, 0), repeat=wins + losses + ties):
        if all(values.count(value) == count for value, count in counts.items()):
            yield np.array(values, dtype=float)


POOLS = [pool for pool in product(range(4), repeat=3) if 2 <= sum(pool) <= 6]


@pytest.mark.parametrize("pool", POOLS)
def test_the_wealth_of_the_truth_stays_one_in_the_mean(pool: tuple[int, int, int]) -> None:
    size, total = sum(pool), pool[0] - pool[1]
    every = np.array([betting_wealth(x, total=total, size=size) for x in orders(*pool)])
    assert np.isfinite(every).all()
    np.testing.assert_allclose(every.mean(0), 1, rtol=1e-12)
    turned = np.array([betting_wealth(-x, total=-total, size=size) for x in orders(*pool)])
    np.testing.assert_allclose(turned.mean(0), 1, rtol=1e-12)


def test_without_the_correction_for_what_is_drawn_it_does_not() -> None:
    """The check above sees a mean of the next draw that forgets the draws before."""
    factors = [np.cumprod(1 + 0.5 * (x - 0.0)) for x in orders(3, 3, 0)]
    assert abs(np.mean(factors, axis=0)[-1] - 1) > 0.1


def test_it_is_the_formula() -> None:
    x, size, total = np.array([1.0, 0, -1, 1, 1]), 9, 1
    for looked in range(len(x) + 1):
        wealths = []
        for n in range(20):
            bet, wealth, seen = (n + 0.5) / 20, 1.0, 0.0
            for i in range(looked):
                mean = (total - seen) / (size - i)
                wealth *= 1 + min(bet, 0.999 / (1 + mean)) * (x[i] - mean)
                seen += x[i]
            wealths.append(wealth)
        assert betting_wealth(x, total=total, size=size)[looked] == pytest.approx(np.mean(wealths))


def test_wealth_beyond_all_numbers_is_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum_interval(np.ones(3000), size=6000, alpha=ALPHA)[0] > 5000


def test_smaller_sums_are_refuted_with_a_larger_one() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        x = random.choice([1.0, 0, -1], size=12, p=[0.5, 0.3, 0.2])
        wealth = [betting_wealth(x, total=total, size=20).max() for total in range(-20, 21)]
        assert all(a >= b - 1e-9 for a, b in pairwise(wealth))


@pytest.mark.parametrize("pool", POOLS)
def test_the_interval_holds_the_truth_at_every_look(pool: tuple[int, int, int]) -> None:
    """By enumeration, at an error so large that small pools can make one."""
    alpha, size, total = 0.4, sum(pool), pool[0] - pool[1]
    missed, count = 0, 0
    for x in orders(*pool):
        ends = [sum_interval(x[:n], size=size, alpha=alpha) for n in range(size + 1)]
        missed += any(not low <= total <= high for low, high in ends)
        count += 1
        assert ends[-1] == (total, total)
        assert all(low <= high for low, high in ends)
    assert missed / count <= alpha


@pytest.mark.parametrize("pool", [(60, 0, 300), (110, 50, 200), (20, 20, 0), (30, 25, 5)])
def test_verdict_and_interval_are_one_statement(pool: tuple[int, int, int]) -> None:
    values = np.repeat([1.0, -1, 0], pool)
    x = np.random.default_rng(1).permutation(values)
    size, total = len(x), int(values.sum())
    found, sign = labels_to_verdict(x, size=size, alpha=ALPHA)
    for n in range(0, size + 1, 5):
        verdict = judge(x[:n], differ=size, samples=2 * size, alpha=ALPHA)
        decided = verdict.outcome in ("better", "worse")
        assert decided == (found is not None and n >= found)
        assert decided == (verdict.low > 0 or verdict.high < 0)
        if decided:
            assert verdict.outcome == ("better" if sign > 0 else "worse")
    last = judge(x, differ=size, samples=2 * size, alpha=ALPHA)
    assert last.low == last.high == total / (2 * size)
    assert (last.outcome == "equal") == (total == 0)


def discordant_ratio(counts: list[int], size: int) -> float:
    """A second valid test of W = L: Jeffreys' mixture over the largest likelihood of the null."""

    wins, losses, ties = counts

    def log_fall(number: float, times: int) -> float:
        return sum(math.log(number - i) for i in range(times))

    mixture = (
        math.lgamma(0.5 + wins)
        + math.lgamma(0.5 + losses)
        - math.lgamma(1 + wins + losses)
        - 2 * math.lgamma(0.5)
    )
    even = range(2 * max(wins, losses), size - ties + 1, 2)
    null = [
        log_fall(k / 2, wins) + log_fall(k / 2, losses) - log_fall(k, wins + losses)
        for k in even
        if k >= wins + losses
    ]
    return math.exp(mixture - max(null)) if null else math.inf


@pytest.mark.parametrize("pool", [(60, 0, 300), (165, 75, 120)])
def test_a_second_test_agrees_and_needs_about_as_many_labels(pool: tuple[int, int, int]) -> None:
    values, size = np.repeat([1.0, -1, 0], pool), sum(pool)
    ours, theirs = [], []
    for seed in range(12):
        x = np.random.default_rng(seed).permutation(values)
        found, sign = labels_to_verdict(x, size=size, alpha=ALPHA)
        assert found is not None
        assert sign == 1
        ours.append(found)
        counts = [np.concatenate([[0], np.cumsum(x == value)]) for value in (1, -1, 0)]
        theirs.append(
            next(
                n
                for n in range(1, size + 1)
                if discordant_ratio([int(c[n]) for c in counts], size) >= 1 / ALPHA
            )
        )
    assert 0.6 < np.median(ours) / np.median(theirs) < 1.15


NULLS = {
    "20": (7, 7, 6),
    "60 without ties": (30, 30, 0),
    "200": (50, 50, 100),
    "nearly": (51, 49, 100),
}


def count_wrong(pool: tuple[int, int, int], draws: int, threshold: float) -> float:
    """The share of orders in which, at some look, one side is taken for the better."""
    values, generator = np.repeat([1.0, -1, 0], pool), np.random.default_rng(0)
    wrong = 0
    for _ in range(draws):
        x = generator.permutation(values)
        sides = (1, -1) if pool[0] == pool[1] else (-1,)
        wrong += any(
            betting_wealth(side * x, total=0, size=len(x))[:-1].max() >= threshold for side in sides
        )
    return wrong / draws


@pytest.mark.parametrize("pool", NULLS.values(), ids=NULLS)
def test_wrong_verdicts_are_rare(pool: tuple[int, int, int]) -> None:
    draws = 1000
    bound = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / draws)
    assert count_wrong(pool, draws, 2 / ALPHA) <= bound


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pool", "draws"),
    [
        *((pool, 10_000) for pool in NULLS.values()),
        ((250, 250, 500), 3000),
        ((1000, 1000, 3000), 400),
    ],
)
def test_wrong_verdicts_are_rare_in_many_orders(pool: tuple[int, int, int], draws: int) -> None:
    assert count_wrong(pool, draws, 2 / ALPHA) <= ALPHA


def test_a_threshold_of_one_side_would_be_seen() -> None:
    """The simulation above is not blind: half the threshold is wrong more often than allowed."""
    assert count_wrong((50, 50, 100), 2000, 1 / ALPHA) > ALPHA


def test_drawing_with_replacement_would_be_seen() -> None:
    generator, wrong, values = np.random.default_rng(0), 0, np.repeat([1.0, -1, 0], (10, 10, 0))
    for _ in range(2000):
        x = generator.choice(values, size=20)
        wrong += any(
            betting_wealth(side * x, total=0, size=20).max() >= 2 / ALPHA for side in (1, -1)
        )
    assert wrong / 2000 > ALPHA
