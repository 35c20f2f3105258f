"""Tests of whether domains differ: their level, their power, and what class shares explain."""

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest
from torch import Tensor

from da_framework.core.batch import UNLABELLED, Outputs
from da_framework.losses.mmd import bandwidths, mmd
from da_framework.metrics.domain_distance import domain_accuracy
from da_framework.metrics.shift import (
    classifier_test,
    compare_domains,
    draw_in_shares,
    examine_shift,
    mmd_test,
)

SEEDS = 300
LEVEL = 0.05
MOST = int(binom.ppf(0.999, SEEDS, LEVEL))
"""Rejections that a test of this level exceeds once in a thousand times."""


def normal(seed: int, n: int = 40, d: int = 3, *, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    draws = np.random.default_rng(seed).normal(size=(n, d))
    return torch.as_tensor(scale * draws + shift)


def test_the_p_of_the_classifier_is_the_binomials() -> None:
    source, target = normal(0, 41), normal(1, 70, shift=0.7)
    accuracy = domain_accuracy(source, target, rows=41)
    right = round(40 * accuracy)
    found = classifier_test(source, target)
    assert found.statistic == accuracy
    assert found.p == pytest.approx(binomtest(right, 40, alternative="greater").pvalue)


def test_the_statistic_of_the_permutations_is_the_mmd() -> None:
    source, target = normal(0, 30), normal(1, 50, shift=0.5)
    factors = torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0]).double()
    widths = bandwidths(source, target, policy="mean", factors=factors)
    found = mmd_test(source, target, permutations=9, seed=0)
    assert found.statistic == pytest.approx(mmd(source, target, bandwidths=widths).item())
    assert found.p == 1 / 10


def test_neither_unit_nor_order_counts() -> None:
    source, target = normal(0), normal(1, shift=0.3)
    plain = mmd_test(source, target, permutations=19, seed=0)
    huge = mmd_test(1e30 * source, 1e30 * target, permutations=19, seed=0)
    assert huge == pytest.approx(plain)
    mixed = mmd_test(source.flip(0), target, permutations=19, seed=0)
    assert mixed.statistic == pytest.approx(plain.statistic)


def test_features_that_are_all_alike_do_not_differ() -> None:
    same = torch.ones(30, 2)
    tests = compare_domains(same, same, permutations=19, seed=0)
    assert tests.mmd.p == 1
    assert not tests.differ(0.5)


def test_the_level_is_kept() -> None:
    rejected = np.zeros(3)
    for seed in range(SEEDS):
        # of sides of different sizes
        source, target = normal(2 * seed, 30), normal(2 * seed + 1, 45)
        tests = compare_domains(source, target, permutations=39, seed=seed)
        ps = (tests.classifier.p, tests.mmd.p, 1.0 - tests.differ(LEVEL))
        rejected += [p <= LEVEL for p in ps]
    assert (rejected <= MOST).all(), rejected


def test_planted_shifts_are_seen() -> None:
    moved = spread = 0
    for seed in range(40):
        source = normal(2 * seed, 60)
        there = normal(2 * seed + 1, 60, shift=0.8)
        moved += compare_domains(source, there, permutations=39, seed=0).differ(LEVEL)
        wider = normal(2 * seed + 1, 60, scale=2.5)
        spread += mmd_test(source, wider, permutations=39, seed=0).p <= LEVEL
    assert moved >= 36
    assert spread >= 36


def classes(seed: int, shares: list[float], n: int, *, shift: float = 0.0) -> Outputs:
    """Three normal classes, and the logits of the true classifier under equal shares."""
    rng = np.random.default_rng(seed)
    y = torch.as_tensor(rng.choice(3, size=n, p=shares))
    means = 2 * torch.eye(3).double()
    x = means[y] + torch.as_tensor(rng.normal(size=(n, 3)))
    rows = torch.arange(n)
    return Outputs(x, y, torch.zeros(n).long(), rows, x + shift, x @ means.T)


EQUAL, SKEWED = [1 / 3] * 3, [0.6, 0.3, 0.1]


def hidden(outputs: Outputs) -> Outputs:
    return outputs._replace(y=torch.full_like(outputs.y, UNLABELLED))


def test_class_shares_are_told_from_a_shift_that_is_more() -> None:
    remains = more = 0
    for seed in range(12):
        source, target = classes(2 * seed, EQUAL, 500), hidden(classes(2 * seed + 1, SKEWED, 300))
        found = examine_shift(source, target, permutations=39, draws=5)
        assert found.tests.differ(LEVEL)
        assert (found.shares.shares - torch.tensor(SKEWED)).abs().max() < 0.1
        assert (found.bbse - torch.tensor(SKEWED)).abs().max() < 0.15
        assert found.remaining is not None
        remains += found.remaining.differ(LEVEL)
        moved = target._replace(features=target.features + 0.5)
        found = examine_shift(source, moved, permutations=39, draws=5)
        assert found.remaining is not None
        more += found.remaining.differ(LEVEL)
    assert remains <= binom.ppf(0.999, 12, LEVEL)
    assert more >= 11


def test_samples_are_drawn_in_shares_as_many_as_there_can_be() -> None:
    y = torch.arange(30) % 3
    rows = draw_in_shares(y, torch.tensor([0.5, 0.25, 0.25]), seed=0)
    assert torch.bincount(y[rows]).tolist() == [10, 5, 5]
    assert len(set(rows.tolist())) == len(rows)
    assert torch.equal(rows, draw_in_shares(y, torch.tensor([0.5, 0.25, 0.25]), seed=0))
    alone = draw_in_shares(y, torch.tensor([1.0, 0.0, 0.0]), seed=1)
    assert torch.equal(alone, (y == 0).nonzero()[:, 0])
    # of a class that the source does not have there is nothing to draw
    lacking = draw_in_shares(y[y < 2], torch.tensor([0.25, 0.25, 0.5]), seed=2)
    assert torch.bincount(y[y < 2][lacking]).tolist() == [10, 10]


def test_too_few_of_a_class_leave_nothing_to_test() -> None:
    source = classes(0, [0.49, 0.49, 0.02], 200)
    target = hidden(classes(1, [0.0, 0.0, 1.0], 200))
    found = examine_shift(source, target, permutations=39, draws=5)
    assert found.tests.differ(LEVEL)
    assert found.remaining is None
