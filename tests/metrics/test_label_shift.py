"""Class shares of a target without labels: planted ones, and the formulas by hand."""

from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.metrics.label_shift import SharesEstimate, bbse, bootstrap_shares, calibrate, mlls

K = 3
MEANS = 1.5 * torch.eye(K).double()
SKEWED = torch.tensor([0.7, 0.25, 0.05]).double()
ESTIMATES: dict[str, SharesEstimate] = {
    "bbse hard": partial(bbse, mode="hard"),
    "bbse soft": partial(bbse, mode="soft"),
    "mlls": mlls,
}


def draw(shares: Tensor, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three normal classes: the logits of the true classifier under equal shares, and labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.multinomial(shares, rows, replacement=True, generator=generator)
    x = MEANS[y] + torch.randn(rows, K, generator=generator, dtype=torch.float64)
    return x @ MEANS.T, y


def sides(seed: int, rows: int, shares: Tensor = SKEWED) -> tuple[Tensor, Tensor, Tensor]:
    source, y = draw(torch.ones(K).double() / K, rows, 2 * seed)
    target, _ = draw(shares, rows, 2 * seed + 1)
    return source.softmax(1), y, target.softmax(1)


@pytest.mark.parametrize("name", ESTIMATES)
def test_planted_shares_are_found(name: str) -> None:
    for shares in (SKEWED, torch.ones(K).double() / K, torch.tensor([0.0, 0.5, 0.5]).double()):
        q = ESTIMATES[name](*sides(0, 40_000, shares))
        assert_close(q, shares, atol=0.015, rtol=0)
        assert q.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("name", ESTIMATES)
def test_order_does_not_count(name: str) -> None:
    source, y, target = sides(1, 200)
    i, j = torch.randperm(200), torch.randperm(200)
    mixed = ESTIMATES[name](source[i], y[i], target[j])
    assert_close(mixed, ESTIMATES[name](source, y, target), atol=1e-7, rtol=0)


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_the_source_itself_has_its_own_shares_by_bbse(mode: Literal["hard", "soft"]) -> None:
    source, y, _ = sides(2, 300)
    q = bbse(source, y, source, mode=mode)
    assert_close(q, torch.bincount(y).double() / 300)


def by_formula(source: Any, y: Any, target: Any, *, hard: bool) -> Any:
    """The authors': the confusion matrix in loops, its inverse, negative weights cut."""
    if hard:
        source, target = (np.eye(K)[p.argmax(1)] for p in (source, target))
    joint = np.zeros((K, K))
    for row, label in zip(source, y, strict=True):
        joint[:, label] += row / len(y)
    w = np.maximum(np.linalg.inv(joint) @ target.mean(0), 0)
    q = w * np.bincount(y, minlength=K) / len(y)
    return q / q.sum()


@pytest.mark.parametrize("seed", range(3))
def test_bbse_is_the_authors_formula(seed: int) -> None:
    source, y, target = sides(seed, 150)
    for mode, hard in (("hard", True), ("soft", False)):
        expected = by_formula(source.numpy(), y.numpy(), target.numpy(), hard=hard)
        q = bbse(source, y, target, mode=mode)  # type: ignore[arg-type]
        np.testing.assert_allclose(q.numpy(), expected, rtol=1e-8)


def test_mlls_is_where_em_stands_still_and_the_likelihood_is_greatest() -> None:
    source, y, target = sides(3, 400)
    q = mlls(source, y, target, tolerance=1e-12)
    ratio = target / (torch.bincount(y).double() / 400)
    joint = ratio * q
    assert_close((joint / joint.sum(1, keepdim=True)).mean(0), q, atol=1e-10, rtol=0)
    best = (ratio @ q).log().mean()
    for other in torch.distributions.Dirichlet(torch.ones(K).double()).sample((200,)):
        assert (ratio @ (0.9 * q + 0.1 * other)).log().mean() <= best + 1e-12


def test_a_class_that_the_source_does_not_have_gets_no_share() -> None:
    source, y, target = sides(4, 400)
    kept = y < 2
    for estimate in ESTIMATES.values():
        q = estimate(source[kept], y[kept], target)
        assert q[2] == 0
        assert q.sum().item() == pytest.approx(1)


def test_a_model_that_tells_nothing_gives_shares_all_the_same() -> None:
    flat, y = torch.ones(30, K).double() / K, torch.arange(30) % K
    for estimate in ESTIMATES.values():
        assert_close(estimate(flat, y, flat), torch.ones(K).double() / K)


def test_calibration_undoes_a_wrong_scale_and_shift() -> None:
    logits, y = draw(torch.ones(K).double() / K, 40_000, 0)
    other, _ = draw(SKEWED, 40_000, 1)
    wrong = torch.tensor([0.5, -1.0, 0.0]).double()
    source, target = calibrate(5 * logits + wrong, y, 5 * other + wrong)
    assert_close(source, logits.softmax(1), atol=0.03, rtol=0)
    assert_close(target, other.softmax(1), atol=0.03, rtol=0)
    off = mlls((5 * logits + wrong).softmax(1), y, (5 * other + wrong).softmax(1))
    assert (off - SKEWED).abs().max() > 0.03
    assert_close(mlls(source, y, target), SKEWED, atol=0.015, rtol=0)


def test_calibration_of_a_source_without_an_error_is_finite() -> None:
    y = torch.arange(12) % K
    for scale in (1e-6, 1.0, 1e6):
        z = scale * torch.eye(K).double()[y]
        for p in calibrate(z, y, z):
            assert p.isfinite().all()
            assert (p.argmax(1) == y).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ESTIMATES)
def test_intervals_hold_the_planted_shares_about_as_often_as_they_say(name: str) -> None:
    held, runs = 0, 30
    for seed in range(runs):
        found = bootstrap_shares(ESTIMATES[name], *sides(100 + seed, 200), draws=200)
        held += int((found.low <= SKEWED).logical_and(found.high >= SKEWED).sum())
    # of 90 intervals at 95 %, a percentile one of few samples, and dependent
    assert held >= 0.85 * runs * K
