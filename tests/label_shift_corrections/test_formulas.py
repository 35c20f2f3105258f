"""Class shares of a target without labels: planted ones, and the formulas by hand."""

import inspect
import re
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.testing import assert_close

from da_framework.config.plugins import conf_dir
from da_framework.label_shift_corrections.bbse import bbse
from da_framework.label_shift_corrections.em import em
from da_framework.label_shift_corrections.rlls import near_one, rlls
from da_framework.metrics.label_shift import LabelShiftCorrection

K = 3
MEANS = 1.5 * torch.eye(K).double()
EQUAL = torch.ones(K).double() / K
SKEWED = torch.tensor([0.7, 0.25, 0.05]).double()
CORRECTIONS: dict[str, LabelShiftCorrection] = {
    "bbse hard": partial(bbse, mode="hard"),
    "bbse soft": partial(bbse, mode="soft"),
    "rlls hard": partial(rlls, mode="hard", regularization=0.01),
    "rlls soft": partial(rlls, mode="soft", regularization=0.01),
    "em of labels": partial(em, prior="labels", rounds=10_000, tolerance=1e-8),
    "em of predictions": partial(em, prior="predicted", rounds=10_000, tolerance=1e-8),
}


def draw(shares: Tensor, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three normal classes: the logits of the true classifier under equal shares, and labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.multinomial(shares, rows, replacement=True, generator=generator)
    x = MEANS[y] + torch.randn(rows, K, generator=generator, dtype=torch.float64)
    return x @ MEANS.T, y


def sides(seed: int, rows: int, shares: Tensor = SKEWED) -> tuple[Tensor, Tensor, Tensor]:
    source, y = draw(EQUAL, rows, 2 * seed)
    target, _ = draw(shares, rows, 2 * seed + 1)
    return source.softmax(1), y, target.softmax(1)


def test_every_config_is_held_here_and_cites_a_paper_with_its_formula() -> None:
    names = {path.stem for path in (conf_dir() / "label_shift_correction").glob("*.yaml")}
    assert names == {name.partition(" ")[0] for name in CORRECTIONS}
    for form in (em, bbse, rlls):
        doc = inspect.getdoc(form) or ""
        assert re.search(r"https://\S+", doc)
        assert ".. math::" in doc


@pytest.mark.parametrize("name", CORRECTIONS)
def test_planted_shares_are_found(name: str) -> None:
    for shares in (SKEWED, EQUAL, torch.tensor([0.0, 0.5, 0.5]).double()):
        source, y, target = sides(0, 40_000, shares)
        found = CORRECTIONS[name](source, y, target)
        assert_close(found.shares, shares, atol=0.015, rtol=0)
        assert found.shares.sum().item() == pytest.approx(1)
        counted = torch.bincount(y).double() / len(y)
        assert_close(found.weights, shares / counted, atol=0.06, rtol=0)


@pytest.mark.parametrize("name", CORRECTIONS)
def test_order_does_not_count(name: str) -> None:
    source, y, target = sides(1, 200)
    i, j = torch.randperm(200), torch.randperm(200)
    mixed = CORRECTIONS[name](source[i], y[i], target[j])
    for other, one in zip(mixed, CORRECTIONS[name](source, y, target), strict=True):
        assert_close(other, one, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["bbse hard", "bbse soft", "rlls hard", "rlls soft"])
def test_the_source_itself_has_its_own_shares(name: str) -> None:
    source, y, _ = sides(2, 300)
    found = CORRECTIONS[name](source, y, source)
    assert_close(found.shares, torch.bincount(y).double() / 300, atol=1e-8, rtol=0)
    assert_close(found.weights, torch.ones(K).double(), atol=1e-8, rtol=0)


def test_of_its_own_predictions_em_sees_no_shift_whatever_the_calibration() -> None:
    source, y, _ = sides(2, 300)
    wrong = (4 * source.log() + torch.tensor([0.5, -1.0, 0.0]).double()).softmax(1)
    found = CORRECTIONS["em of predictions"](wrong, y, wrong)
    assert_close(found.weights, torch.ones(K).double(), atol=1e-6, rtol=0)
    other = CORRECTIONS["em of labels"](wrong, y, wrong)
    assert (other.weights - 1).abs().max() > 0.02


def by_formula(source: Any, y: Any, target: Any, *, hard: bool) -> tuple[Any, Any]:
    """The authors': the confusion matrix in loops, its inverse, negative weights cut."""
    if hard:
        source, target = (np.eye(K)[p.argmax(1)] for p in (source, target))
    joint = np.zeros((K, K))
    for row, label in zip(source, y, strict=True):
        joint[:, label] += row / len(y)
    w = np.maximum(np.linalg.inv(joint) @ target.mean(0), 0)
    q = w * np.bincount(y, minlength=K) / len(y)
    return w, q / q.sum()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("mode", "hard"), [("hard", True), ("soft", False)])
def test_bbse_is_the_authors_formula(seed: int, mode: Literal["hard", "soft"], hard: bool) -> None:
    source, y, target = sides(seed, 150)
    w, q = by_formula(source.numpy(), y.numpy(), target.numpy(), hard=hard)
    found = bbse(source, y, target, mode=mode)
    np.testing.assert_allclose(found.weights.numpy(), w, rtol=1e-8)
    np.testing.assert_allclose(found.shares.numpy(), q, rtol=1e-8)


def test_bbse_of_two_classes_by_hand() -> None:
    """Of four samples a class, three are right; the target's are predicted 5 to 3."""
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    right = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0])
    source = torch.eye(2)[right].double()
    target = torch.eye(2)[torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])].double()
    # 3/8 w0 + 1/8 w1 = 5/8, 1/8 w0 + 3/8 w1 = 3/8
    found = bbse(source, y, target, mode="hard")
    assert_close(found.weights, torch.tensor([1.5, 0.5]).double())
    assert_close(found.shares, torch.tensor([0.75, 0.25]).double())


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_rlls_without_regularisation_is_bbse(mode: Literal["hard", "soft"]) -> None:
    source, y, target = sides(5, 400)
    expected = bbse(source, y, target, mode=mode)
    assert (expected.weights > 0).all()
    found = rlls(source, y, target, mode=mode, regularization=0.0)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, atol=1e-10, rtol=0)


def test_rlls_with_much_regularisation_sees_no_shift() -> None:
    found = rlls(*sides(5, 400), mode="soft", regularization=1e3)
    assert_close(found.weights, torch.ones(K).double(), atol=1e-8, rtol=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strength", [0.003, 0.1])
def test_the_weights_near_one_are_those_of_a_general_solver(seed: int, strength: float) -> None:
    draws = np.random.default_rng(seed)
    joint = draws.dirichlet(np.ones(16)).reshape(4, 4)
    joint += np.diag(draws.dirichlet(np.ones(4)))
    joint /= joint.sum()
    predicted = draws.dirichlet(np.full(4, 0.5))

    def loss(w: Any) -> float:
        gap = joint @ w - predicted
        return float(np.sqrt(gap @ gap) + strength * np.sqrt((w - 1) @ (w - 1)))

    w = near_one(joint, predicted, strength)
    assert (w >= 0).all()
    for start in (np.full(4, 0.9), w + 0.01):
        options = {"maxiter": 200, "ftol": 1e-12}
        search = minimize(loss, start, method="SLSQP", bounds=[(0, None)] * 4, options=options)
        assert loss(w) <= search.fun + 1e-9
    for _ in range(200):  # no point nearby is better, and the sum is convex
        assert loss(w) <= loss(np.maximum(w + draws.normal(0, 1e-4, 4), 0)) + 1e-9


def log_likelihood(ratio: Tensor, shares: Tensor) -> float:
    return (ratio @ shares).log().mean().item()


def test_every_round_of_em_raises_the_likelihood() -> None:
    source, y, target = sides(3, 400)
    ratio = target / (torch.bincount(y).double() / 400)
    values = [log_likelihood(ratio, torch.bincount(y).double() / 400)]
    for rounds in range(1, 30):
        found = em(source, y, target, prior="labels", rounds=rounds, tolerance=1e-300)
        values.append(log_likelihood(ratio, found.shares))
    gains = [later - before for before, later in pairwise(values)]
    assert gains[0] > 0.05
    assert all(gain > 0 for gain in gains[:8])
    assert all(gain > -1e-14 for gain in gains)  # where it stands still, it rounds


def test_em_stands_still_where_the_likelihood_is_greatest() -> None:
    source, y, target = sides(3, 400)
    q = em(source, y, target, prior="labels", rounds=10_000, tolerance=1e-12).shares
    ratio = target / (torch.bincount(y).double() / 400)
    joint = ratio * q
    assert_close((joint / joint.sum(1, keepdim=True)).mean(0), q, atol=1e-10, rtol=0)
    best = log_likelihood(ratio, q)
    for other in torch.distributions.Dirichlet(torch.ones(K).double()).sample((200,)):
        assert log_likelihood(ratio, 0.9 * q + 0.1 * other) <= best + 1e-12


@pytest.mark.parametrize("name", CORRECTIONS)
def test_of_perfect_probabilities_the_shares_are_the_labels(name: str) -> None:
    y = torch.arange(30) % K
    truth = torch.tensor([0] * 14 + [1] * 5 + [2] * 1)
    perfect = torch.eye(K).double()
    found = CORRECTIONS[name](perfect[y], y, perfect[truth])
    assert_close(found.shares, torch.tensor([0.7, 0.25, 0.05]).double(), atol=1e-6, rtol=0)


def test_a_class_that_the_source_does_not_have_gets_no_share() -> None:
    source, y, target = sides(4, 400)
    kept = y < 2
    for name, estimate in CORRECTIONS.items():
        if name != "em of predictions":
            q = estimate(source[kept], y[kept], target).shares
            assert q[2] == 0
            assert q.sum().item() == pytest.approx(1)


def test_a_model_that_tells_nothing_gives_shares_all_the_same() -> None:
    flat, y = torch.ones(30, K).double() / K, torch.arange(30) % K
    for estimate in CORRECTIONS.values():
        assert_close(estimate(flat, y, flat).shares, EQUAL)
