from itertools import product
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from da_framework.core.errors import InputError
from da_framework.estimator import Estimator
from da_framework.methods.easy_tl import cheapest_assignment, class_prices

RNG = np.random.default_rng(11)
X = RNG.normal(size=(30, 4)) @ RNG.normal(size=(4, 4))
Y = np.arange(30) % 3
T = RNG.normal(size=(20, 4)) @ RNG.normal(size=(4, 4))
LEANING = np.array([0.0, 2.0, 3.0])
"""What keeps samples from the last two classes, which would stay empty."""


def cheapest_by_trying(cost: Any) -> tuple[float, tuple[int, ...]]:
    """Of all assignments in which no class is empty."""
    samples, classes = cost.shape
    return min(
        (sum(cost[i, c] for i, c in enumerate(chosen)), chosen)
        for chosen in product(range(classes), repeat=samples)
        if len(set(chosen)) == classes
    )


@pytest.mark.parametrize("samples", [3, 4, 6])
@pytest.mark.parametrize("seed", range(3))
def test_the_program_finds_the_cheapest_of_all_assignments(samples: int, seed: int) -> None:
    cost = np.random.default_rng(seed).uniform(size=(samples, 3)) + LEANING
    least, expected = cheapest_by_trying(cost)
    assert tuple(cheapest_assignment(cost)) == expected
    prices = class_prices(cost)
    assert tuple((cost - prices).argmin(1)) == expected
    # the dual's value: what proves that nothing is cheaper
    assert (prices >= 0).all()
    assert (cost - prices).min(1).sum() + prices.sum() == pytest.approx(least, abs=1e-9)


def test_a_class_that_two_samples_reach_has_no_price_and_one_that_is_missed_lies_between() -> None:
    """The sample that loses least moves: by 1, where the next would lose 3."""
    cost = np.array([[0.0, 1.0], [0.0, 3.0], [0.0, 7.0]])
    np.testing.assert_allclose(class_prices(cost), [0, 2])


def test_there_are_no_prices_where_no_class_is_empty() -> None:
    cost = np.array([[0.0, 1.0], [5.0, 2.0]])
    np.testing.assert_array_equal(class_prices(cost), [0, 0])


def test_without_alignment_it_is_the_nearest_class_mean() -> None:
    t = np.concatenate([T, X])  # whose classes are all met
    model = Estimator("easy_tl", align=False).fit(X, Y, t)
    assert (model.predict(t) == NearestCentroid().fit(X, Y).predict(t)).all()
    np.testing.assert_array_equal(model.transform(X, domain="source"), X)


def test_the_means_are_those_of_the_recoloured_source() -> None:
    model = Estimator("easy_tl", ridge=0.5).fit(X, Y, T)
    z = Estimator("coral", ridge=0.5).fit(X, Y, T).transform(X, domain="source")
    method: Any = model.method_
    np.testing.assert_allclose(method.centres, [z[c == Y].mean(0) for c in range(3)])
    distances = np.linalg.norm(T[:, None] - np.asarray(method.centres), axis=2)
    assert (model.predict(T) == cheapest_assignment(distances)).all()


def test_every_class_gets_a_sample_however_far_its_mean_is() -> None:
    x = X + 100 * (Y == 2)[:, None]
    model = Estimator("easy_tl", align=False).fit(x, Y, T)
    counts = np.bincount(model.predict(T), minlength=3)
    assert counts.min() == counts[2] == 1
    assert NearestCentroid().fit(x, Y).predict(T).max() < 2


def test_the_classes_of_the_source_alone_are_predicted() -> None:
    model = Estimator("easy_tl", align=False).fit(X, np.array([5, 9, 30])[Y], T)
    assert {*model.predict(T)} <= {5, 9, 30}


def test_fewer_target_samples_than_classes_are_refused() -> None:
    with pytest.raises(InputError, match=r"it has 2, for 3 classes"):
        Estimator("easy_tl").fit(X, Y, T[:2])
