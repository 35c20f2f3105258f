from typing import Any

import numpy as np
import pytest
import scipy.linalg

from da_framework.estimator import Estimator

RNG = np.random.default_rng(3)
X = RNG.normal(size=(25, 4)) * [3, 1, 1, 0.5]
Y = np.arange(25) % 3
T = RNG.normal(size=(15, 4)) + np.array([0, 3, 0, 0])


def gram(x: Any, kernel: str) -> Any:
    if kernel == "linear":
        return x @ x.T
    squared = ((x[:, None] - x[None]) ** 2).sum(-1)
    return np.exp(-squared / squared.mean())


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_solves_the_eigenproblem_of_the_paper(kernel: str) -> None:
    """Written out over all rows: n x n matrices and scipy's generalised solver."""
    k, n, m = gram(np.concatenate([X, T]), kernel), len(X), len(T)
    e = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])[:, None]
    centring = np.eye(n + m) - 1 / (n + m)
    loss = k @ (e @ e.T / np.linalg.norm(e @ e.T)) @ k + 0.5 * np.eye(n + m)
    _, vectors = scipy.linalg.eigh(k @ centring @ k, loss)
    z = k @ vectors[:, ::-1][:, :3]
    model = Estimator("tca", components=3, ridge=0.5, kernel=kernel).fit(X, Y, T)
    actual = np.concatenate([model.transform(X, domain="source"), model.transform(T)])
    # a component has no sign, and its length is a convention
    for component, expected in zip(actual.T, z.T, strict=True):
        cosine = component @ expected / np.linalg.norm(component) / np.linalg.norm(expected)
        assert abs(cosine) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("kernel", ["linear", "primal"])
def test_components_of_the_features_have_length_1(kernel: str) -> None:
    model = Estimator("tca", components=2, kernel=kernel).fit(X, Y, T)
    lengths = np.linalg.norm(model.method_.get_buffer("projection"), axis=0)
    np.testing.assert_allclose(lengths, 1)


@pytest.mark.parametrize("kernel", ["linear", "primal"])
def test_a_translated_copy_comes_back(kernel: str) -> None:
    """Its projected MMD (of a linear kernel: the means) is under 5 % of what it was."""
    x = RNG.normal(size=(200, 6))
    t = x + np.array([4, -3, 0, 0, 2, 0])
    z = Estimator("tca", components=3, ridge=0.01, kernel=kernel).fit(x, np.arange(200) % 2, t)
    before = ((x.mean(0) - t.mean(0)) ** 2).sum() / np.concatenate([x, t]).var(0).sum()
    first, other = z.transform(x, domain="source"), z.transform(t)
    after = ((first.mean(0) - other.mean(0)) ** 2).sum() / np.concatenate([first, other]).var(
        0
    ).sum()
    assert after < 0.05 * before


def test_new_rows_go_where_equal_rows_went() -> None:
    model = Estimator("tca", components=2, kernel="rbf").fit(X, Y, T)
    np.testing.assert_allclose(model.transform(T[:3]), model.transform(T)[:3])


def test_lengths_are_1_if_asked_for() -> None:
    keys = {"normalize_features": True, "normalize_projection": True}
    model = Estimator("tca", components=2, **keys).fit(X, Y, T)
    np.testing.assert_allclose(np.linalg.norm(model.transform(T), axis=1), 1)
    np.testing.assert_allclose(model.transform(T * 7), model.transform(T))
