import numpy as np
from sklearn import decomposition

from da_framework.estimator import Estimator


def test_is_scikit_learns_on_both_domains_but_for_signs() -> None:
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(30, 5)) * [5, 4, 3, 2, 1], rng.normal(size=(20, 5)) + 2
    expected = decomposition.PCA(3).fit(np.concatenate([x, t]))
    projected = Estimator("pca", components=3).fit(x, np.arange(30) % 2, t).transform(t)
    np.testing.assert_allclose(np.abs(projected), np.abs(expected.transform(t)), atol=1e-10)


def test_takes_no_more_components_than_there_are() -> None:
    x = np.random.default_rng(2).normal(size=(4, 9))
    assert Estimator("pca").fit(x, [0, 1, 0, 1], x).transform(x).shape == (4, 8)
