"""Several models, accuracy, and the order in which answers count."""

import math

import numpy as np
import pytest

from da_framework.audit.pool import UNKNOWN, Pool
from da_framework.audit.simulation import foretell_labels, simulate_pair
from da_framework.audit.verdicts import (
    accuracy_interval,
    answered_prefix,
    error_shares,
    find_verdicts,
)


def pool_of(accuracies: list[float], *, size: int = 300, seed: int = 0) -> Pool:
    """Models that are right on samples of their own choice."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, size)
    answers = np.stack(
        [
            np.where(random.random(size) < accuracy, labels, (labels + 1 + random.integers(3)) % 4)
            for accuracy in accuracies
        ]
    )
    runs = tuple(f"run{n}" for n in range(len(accuracies)))
    samples = tuple(f"sample {n}" for n in range(size))
    return Pool(runs, samples, ("a", "b", "c", "d"), answers, labels, "content")


def ask(
    pool: Pool, count: int, *, accuracy: bool = False, seed: int = 0
) -> tuple[list[int], list[int]]:
    order = pool.order(seed, accuracy=accuracy)[:count].tolist()
    return order, pool.labels[order].tolist()


def test_the_order_is_of_those_that_can_decide_and_another_for_another_seed() -> None:
    pool = pool_of([0.6, 0.8])
    order = pool.order(0, accuracy=False)
    assert sorted(order) == pool.deciding.tolist()
    assert order.tolist() == pool.order(0, accuracy=False).tolist()
    assert order.tolist() != pool.order(1, accuracy=False).tolist()
    both = pool.order(0, accuracy=True)
    assert sorted(both) == list(range(pool.size))
    assert set(both[0:40:2]) <= set(pool.deciding)
    assert set(both[1:41:2]) <= set(pool.agreed)


def test_all_labels_give_the_gain_itself() -> None:
    pool = pool_of([0.6, 0.8, 0.7])
    found = find_verdicts(pool, *ask(pool, pool.size), alpha=0.05)
    right = (pool.answers == pool.labels).mean(1)
    for (a, b), verdict in found.pairs.items():
        assert verdict.low == verdict.high == pytest.approx(right[a] - right[b])
    assert found.best == right.argmax()


def test_the_best_is_never_beaten_but_at_the_error() -> None:
    """Three models, two of them the best alike: neither is thrown out more often than allowed."""
    wrong = 0
    for seed in range(60):
        pool = pool_of([0.5, 0.75, 0.75], size=120, seed=seed)
        right = (pool.answers == pool.labels).mean(1)
        found = find_verdicts(pool, *ask(pool, 40, seed=seed), alpha=0.1)
        wrong += right.argmax() not in found.left
    assert wrong / 60 <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 60)


@pytest.mark.parametrize("models", [2, 3, 4, 7])
def test_all_statements_together_have_one_error(models: int) -> None:
    """Sides of intervals that eliminating the best does not imply, and its elimination."""
    level, beating = error_shares(models, alpha=0.05, accuracy=False)
    assert level <= beating  # so that an interval wrong on that side eliminates
    sides = models * (models - 1) - (models - 1)
    assert sides * level / 2 + (models - 1) * beating / 2 == pytest.approx(0.05)
    assert error_shares(models, alpha=0.05, accuracy=True)[0] == pytest.approx(level / 2)


def test_answers_count_up_to_the_first_gap() -> None:
    order = np.array([7, 3, 5, 9])
    assert answered_prefix(order, {1: 0, 2: 1, 4: 2}) == ([7, 3], [0, 1])
    assert answered_prefix(order, {2: 1}) == ([], [])


def test_who_cannot_tell_decides_nothing() -> None:
    pool = pool_of([0.2, 0.9])
    samples, labels = ask(pool, 60)
    assert find_verdicts(pool, samples, labels, alpha=0.05).pairs[1, 0].outcome == "better"
    nothing = find_verdicts(pool, samples, [UNKNOWN] * 60, alpha=0.05).pairs[1, 0]
    assert nothing.outcome == "undecided"
    assert nothing.labels == 60


def test_accuracy_is_within_its_interval_and_known_in_the_end() -> None:
    pool = pool_of([0.6, 0.85])
    right = (pool.answers == pool.labels).mean(1)
    for count in (0, 20, 100, pool.size):
        samples, labels = ask(pool, count, accuracy=True)
        for run in (0, 1):
            low, high = accuracy_interval(pool, run, samples, labels, alpha=0.05)
            assert low <= right[run] <= high
    assert low == high == pytest.approx(right[1])
    assert accuracy_interval(pool, 0, [], [], alpha=0.05) == (0, 1)


def test_a_simulation_counts_labels_and_beats_drawing_from_all() -> None:
    pool = pool_of([0.75, 0.85], size=600)
    found = simulate_pair(pool, 1, 0, alpha=0.05, orders=50, seed=0)
    assert found.gain == pytest.approx(
        (pool.answers[1] == pool.labels).mean() - (pool.answers[0] == pool.labels).mean()
    )
    assert found.wrong == 0
    assert found.median is not None
    assert found.random is not None
    assert found.median < found.random
    assert found.median <= (found.most or 0) <= found.differ


def test_it_is_foretold_about_how_many_labels_a_verdict_takes() -> None:
    told = foretell_labels(pool_of([0.6, 0.8]), 1, 0, alpha=0.05)
    numbers = [told[gain] for gain in sorted(told, reverse=True)]
    assert all(number is not None for number in numbers)
    assert numbers == sorted(number or 0 for number in numbers)
