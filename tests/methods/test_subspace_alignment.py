import numpy as np
import pytest

from da_framework.estimator import Estimator

RNG = np.random.default_rng(6)
X = RNG.normal(size=(50, 6)) @ RNG.normal(size=(6, 6))
T = RNG.normal(size=(40, 6)) @ RNG.normal(size=(6, 6)) + 3
Y = np.arange(50) % 2


def test_one_subspace_is_pca() -> None:
    model = Estimator("subspace_alignment", components=3).fit(X, Y, X)
    np.testing.assert_allclose(model.transform(X, domain="source"), model.transform(X), atol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_equals_skada_but_for_signs() -> None:
    skada = pytest.importorskip("skada")
    side = np.repeat([1, -2], [50, 40])
    adapter = skada.SubspaceAlignmentAdapter(n_components=3)
    both = adapter.fit_transform(np.concatenate([X, T]), sample_domain=side)
    model = Estimator("subspace_alignment", components=3).fit(X, Y, T)
    actual = np.concatenate([model.transform(X, domain="source"), model.transform(T)])
    np.testing.assert_allclose(np.abs(actual), np.abs(both), atol=1e-8)
