from typing import Any

import numpy as np
import pytest

from da_framework.core.errors import InputError
from da_framework.estimator import Estimator

RNG = np.random.default_rng(9)
X = RNG.normal(size=(30, 3))
Y = np.arange(30) % 2
T = RNG.normal(size=(30, 3)) + 1


def test_a_translated_copy_is_met_exactly() -> None:
    order = RNG.permutation(30)
    t = (X + np.array([2.0, -1.0, 0.5]))[order]
    model = Estimator("optimal_transport").fit(X, Y, t)
    np.testing.assert_allclose(model.transform(X, domain="source")[order], t, atol=1e-9)
    assert model.score(t, Y[order]) == 1


def test_a_new_row_goes_with_the_nearest() -> None:
    model = Estimator("optimal_transport").fit(X, Y, T)
    near = X[:1] + 1e-6
    moved = model.transform(near, domain="source") - near
    np.testing.assert_allclose(moved, (model.transform(X, domain="source") - X)[:1])


def test_target_rows_stay() -> None:
    np.testing.assert_array_equal(Estimator("optimal_transport").fit(X, Y, T).transform(T), T)


def test_entropy_draws_to_the_mean_and_classes_apart() -> None:
    def carried(**keys: float) -> Any:
        return Estimator("optimal_transport", **keys).fit(X, Y, T).transform(X, domain="source")

    mean = T.mean(0)
    assert np.abs(carried(entropy=100.0) - mean).max() < 0.05
    assert np.abs(carried() - mean).max() > 0.5
    assert not np.allclose(carried(entropy=0.1), carried(entropy=0.1, class_sparsity=1.0))


def test_class_sparsity_needs_an_entropy() -> None:
    with pytest.raises(InputError, match=r"method\.entropy"):
        Estimator("optimal_transport", class_sparsity=0.1).fit(X, Y, T)


@pytest.mark.filterwarnings("ignore")
def test_equals_skada() -> None:
    skada = pytest.importorskip("skada")
    side = np.repeat([1, -2], [30, 30])
    both = skada.OTMappingAdapter().fit_transform(np.concatenate([X, T]), sample_domain=side)
    carried = Estimator("optimal_transport").fit(X, Y, T).transform(X, domain="source")
    np.testing.assert_allclose(carried, both[:30], atol=1e-9)
