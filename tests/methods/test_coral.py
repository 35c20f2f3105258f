import numpy as np
import pytest
import torch
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.estimator import Estimator
from da_framework.methods.coral import covariance_of

RNG = np.random.default_rng(5)
X = RNG.normal(size=(50, 4)) @ RNG.normal(size=(4, 4))
T = RNG.normal(size=(40, 4)) @ RNG.normal(size=(4, 4)) + 3
Y = np.arange(50) % 2


def test_the_source_has_the_target_s_mean_and_covariance() -> None:
    z = Estimator("coral", ridge=1e-12).fit(X, Y, T).transform(X, domain="source")
    np.testing.assert_allclose(z.mean(0), T.mean(0), atol=1e-10)
    np.testing.assert_allclose(np.cov(z.T), np.cov(T.T), rtol=1e-7, atol=1e-8)


def test_the_target_stays() -> None:
    np.testing.assert_array_equal(Estimator("coral").fit(X, Y, T).transform(T), T)


def test_a_singular_covariance_has_a_ridge() -> None:
    flat = X * [1, 1, 0, 0]
    assert np.isfinite(Estimator("coral").fit(flat, Y, flat).transform(flat)).all()


@pytest.mark.filterwarnings("ignore")
def test_equals_skada_but_for_the_translation() -> None:
    skada = pytest.importorskip("skada")
    side = np.repeat([1, -2], [50, 40])
    adapter = skada.CORALAdapter(reg=0.0, assume_centered=False)
    both = adapter.fit_transform(np.concatenate([X, T]), sample_domain=side)
    recoloured = Estimator("coral", ridge=1e-12).fit(X, Y, T).transform(X, domain="source")
    # its covariances divide by n, the paper's code and ours by n - 1
    factor = ((39 / 40) / (49 / 50)) ** 0.5
    np.testing.assert_allclose((recoloured - T.mean(0)) * factor, both[:50], rtol=1e-6, atol=1e-7)


def test_a_domain_of_one_sample_is_refused() -> None:
    with pytest.raises(InputError, match="one sample"):
        Estimator("coral").fit(X, Y, T[:1])


def test_a_single_sample_does_not_vary() -> None:
    assert_close(covariance_of(torch.ones(1, 3)), torch.zeros(3, 3))
    x = torch.randn(5, 3)
    assert_close(covariance_of(x), torch.cov(x.T))
