"""How many labels a verdict takes: with the true labels, over many orders of asking."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from da_framework.audit.betting import Draws, labels_to_verdict
from da_framework.audit.pool import Pool
from da_framework.core.seeding import mix

PLAUSIBLE = (0.10, 0.05, 0.02)
"""Gains in accuracy that the number of labels is foretold for."""
ORDERS = 40
"""Orders that it is foretold from."""


class Simulated(NamedTuple):
    """Labels until a verdict on a pair of models, over many orders.

    Attributes:
        gain: the true one of the first, a fraction of 1.
        differ: samples that they differ on.
        median, most: labels, of half of the orders and of nine tenths; none where more do not end.
        random: the median where samples are drawn from all of the pool, by the same guarantee.
        wrong: share of the orders with a wrong verdict.
        undecided: share without one when all is labelled: the gain is 0.
    """

    gain: float
    differ: int
    median: int | None
    most: int | None
    random: int | None
    wrong: float
    undecided: float


def simulate_pair(pool: Pool, a: int, b: int, *, alpha: float, orders: int, seed: int) -> Simulated:
    """Asks for the true labels in many orders, as if a person knew them."""
    values = pool.compare(a, b, range(pool.size), pool.labels.tolist())
    sign = int(np.sign(values.sum()))
    spread = np.concatenate([values, np.zeros(pool.size - len(values))])
    asked = list(ask_in_orders(values, alpha=alpha, orders=orders, seed=seed))
    blind = list(ask_in_orders(spread, alpha=alpha, orders=orders, seed=seed))
    return Simulated(
        float(values.sum() / pool.size),
        len(values),
        quantile(asked, 0.5),
        quantile(asked, 0.9),
        quantile(blind, 0.5),
        float(np.mean([found != 0 and found != sign for _, found in asked])),
        float(np.mean([found == 0 for _, found in asked])),
    )


def ask_in_orders(
    values: Draws, *, alpha: float, orders: int, seed: int
) -> Iterator[tuple[int | None, int]]:
    """Labels until a verdict, and which, for each of many orders of a pool."""
    generator = np.random.default_rng(mix(seed, "simulate"))
    for _ in range(orders):
        yield labels_to_verdict(generator.permutation(values), size=len(values), alpha=alpha)


def quantile(asked: list[tuple[int | None, int]], share: float) -> int | None:
    """The labels that this share of the orders need at most; none where more do not end."""
    numbers = sorted(float("inf") if number is None else number for number, _ in asked)
    value = numbers[max(0, int(np.ceil(share * len(numbers))) - 1)]
    return None if value == float("inf") else int(value)


def foretell_labels(pool: Pool, a: int, b: int, *, alpha: float) -> dict[float, int | None]:
    """About how many labels a verdict takes, by the gain, if a third of the samples are ties."""
    differ = pool.differ(a, b)
    told: dict[float, int | None] = {}
    for gain in PLAUSIBLE:
        net, decided = round(gain * pool.size), round(2 * differ / 3)
        if 0 < net <= decided:
            losses = (decided - net) // 2
            wins = losses + net
            ties = differ - wins - losses
            values = np.repeat([1.0, -1.0, 0.0], [wins, losses, ties])
            told[gain] = quantile(
                list(ask_in_orders(values, alpha=alpha, orders=ORDERS, seed=0)), 0.5
            )
    return told


def as_facts(simulated: Simulated) -> dict[str, Any]:
    """As JSON has it."""
    return simulated._asdict()
