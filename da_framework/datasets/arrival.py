"""The order in which a target arrives, in batches: a pure function of a seed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from da_framework.core.errors import InputError
from da_framework.core.labels import UNLABELLED
from da_framework.core.seeding import mix
from da_framework.datasets.splits import IntArray

FloatArray = NDArray[np.float64]
Order = Literal["iid", "class", "domain", "gradual"]
"""How samples follow each other: see ``arrange``."""
SEVERITIES = 5
"""Degrees of a corruption, from 1."""


class Arrival(NamedTuple):
    """Samples in the order of their arrival.

    Attributes:
        rows: positions of the samples among the target's, each once.
        stage: of each, which stretch of the stream it is of, from 0: one domain, one corruption. A
            batch is of one stage.
        domain: number of each sample's domain.
        corruption: number of each sample's corruption among those that were given.
        severity: of it; 0 where there is none.
    """

    rows: IntArray
    stage: IntArray
    domain: IntArray
    corruption: IntArray
    severity: IntArray

    def batches(self, size: int) -> list[slice]:
        """The batches: at most so many samples that follow each other, and of one stage."""
        ends = np.flatnonzero(np.diff(self.stage)) + 1
        begins = [0, *ends.tolist(), len(self.rows)]
        return [
            slice(begin, min(begin + size, end))
            for first, end in pairwise(begins)
            for begin in range(first, end, size)
        ]


def arrange(
    domain: IntArray,
    y: IntArray,
    *,
    order: Order,
    strength: float,
    corruptions: int,
    severity: int,
    seed: int,
    samples: int | None = None,
) -> Arrival:
    """The order in which samples arrive.

    ``iid``: any order is as likely. ``class``: classes come in clumps: the samples of each are put
    into as many stretches as there are classes, in shares drawn from a Dirichlet distribution of
    this strength, as in Gong et al., "NOTE: Robust Continual Test-time Adaptation Against Temporal
    Correlation", NeurIPS 2022, https://arxiv.org/abs/2208.05117; at 0 a class comes whole after
    another. ``domain``: one domain after the other, each in any order. ``gradual``: in any order,
    and the corruption's severity rises from 1 to the highest and falls again, as in Wang et al.,
    "Continual Test-Time Domain Adaptation", CVPR 2022, https://arxiv.org/abs/2203.13591

    Several corruptions follow each other, each on an equal share of the stream (of each domain's
    where these follow each other). Labels decide the order ``class``, as whoever puts a stream to
    the test knows them; no method is given them.

    Args:
        domain: number of each sample's domain.
        y: its label, or ``UNLABELLED``.
        order: how samples follow each other.
        strength: of the Dirichlet distribution.
        corruptions: how many there are.
        severity: the highest.
        seed: of what is drawn.
        samples: how many of them arrive at most, drawn whatever their labels; ``None``: all.

    Raises:
        InputError: the order needs what is not there.
    """
    if samples is not None and samples < len(y):
        chance = np.random.Generator(np.random.PCG64(mix(seed, "samples")))
        kept = np.sort(chance.permutation(len(y))[:samples])
        arrival = arrange(
            *(domain[kept], y[kept]),
            order=order,
            strength=strength,
            corruptions=corruptions,
            severity=severity,
            seed=seed,
        )
        return arrival._replace(rows=kept[arrival.rows])
    draw = np.random.Generator(np.random.PCG64(mix(seed, "arrival")))
    if order == "class":
        if (y == UNLABELLED).any():
            raise InputError(
                "order=class puts samples in order by their labels, and the target has samples "
                "without one: order=iid, order=domain"
            )
        rows = clump(y, strength, draw)
    elif order == "domain":
        rows = np.concatenate(
            [draw.permutation(np.flatnonzero(domain == number)) for number in np.unique(domain)]
        )
    else:
        rows = draw.permutation(len(domain))
    if order == "gradual" and not corruptions:
        raise InputError(
            "order=gradual changes the severity of a corruption, and there is none: "
            "corruption=[gaussian_noise]"
        )
    placed = domain[rows] if order == "domain" else np.zeros(len(rows), np.int64)
    number, degree = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for each in np.unique(placed):
        there = np.flatnonzero(placed == each)
        if len(there) < corruptions:
            raise InputError(
                f"{corruptions} corruptions share {len(there)} samples, and some would have none: "
                "name fewer"
            )
        for corruption, part in enumerate(np.array_split(there, max(corruptions, 1))):
            number[part] = corruption
            if corruptions:
                degree[part] = (
                    rise_and_fall(len(part), severity) if order == "gradual" else severity
                )
    stages = placed * max(corruptions, 1) + number
    _, stage = np.unique(stages, return_inverse=True)
    return Arrival(rows, stage.astype(np.int64), domain[rows], number, degree)


def clump(y: IntArray, strength: float, draw: np.random.Generator) -> IntArray:
    """Positions of samples so that those of a class come together, the more the less the strength.

    Args:
        y: labels.
        strength: of the Dirichlet distribution; 0 sorts the samples, classes in any order.
        draw: of what is drawn.
    """
    classes = draw.permutation(np.unique(y))
    members = [draw.permutation(np.flatnonzero(y == label)) for label in classes]
    if strength == 0:
        return np.concatenate(members)
    stretches: list[list[IntArray]] = [[] for _ in classes]
    for rows in members:
        shares = draw_shares(strength, len(classes), draw)
        ends = np.rint(np.cumsum(shares) * len(rows)).astype(int)
        for stretch, part in zip(stretches, np.split(rows, ends[:-1]), strict=True):
            stretch.append(part)
    return np.concatenate([draw.permutation(np.concatenate(stretch)) for stretch in stretches])


def draw_shares(strength: float, count: int, draw: np.random.Generator) -> FloatArray:
    """Shares of a symmetric Dirichlet distribution, however small its strength.

    They are gamma variates in proportion, by their logarithms: of the strength s, one is as one of
    s + 1 times a uniform number to the power 1 / s (Marsaglia, Tsang, "A Simple Method for
    Generating Gamma Variables", 2000, section 6, https://doi.org/10.1145/358407.358414), which
    would be 0 without.

    Args:
        strength: of the distribution, above 0.
        count: of the shares.
        draw: of what is drawn.
    """
    logs = np.log(draw.gamma(strength + 1, size=count))
    logs = logs + np.log(draw.uniform(size=count)) / strength
    odds = np.exp(logs - logs.max())
    shares: FloatArray = odds / odds.sum()
    return shares


def rise_and_fall(count: int, highest: int) -> IntArray:
    """Severities of so many samples: from 1 up to the highest and back, in equal steps."""
    steps: Sequence[int] = [*range(1, highest + 1), *range(highest - 1, 0, -1)]
    return np.repeat(steps, [len(part) for part in np.array_split(np.arange(count), len(steps))])
