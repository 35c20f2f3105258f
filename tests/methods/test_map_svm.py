from typing import Any

import numpy as np
import pytest
import scipy.linalg
from sklearn.svm import SVC

from da_framework.core.errors import InputError
from da_framework.estimator import Estimator

RNG = np.random.default_rng(6)
Y = np.arange(40) % 4
X = RNG.normal(size=(4, 6))[Y] * 2 + RNG.normal(size=(40, 6))
T = X[RNG.permutation(40)] @ (np.eye(6) + RNG.normal(size=(6, 6)))


def middle(alignment: str) -> Any:
    """The maps, each written out."""
    if alignment == "covariances":
        covariances = [np.cov(x.T) + 0.5 * np.eye(6) for x in (X, T)]
        source, target = (scipy.linalg.sqrtm(c).real for c in covariances)
        return np.linalg.inv(source) @ target
    bases = [np.linalg.svd(x - x.mean(0))[2][:2].T for x in (X, T)]
    if alignment == "subspaces":
        return bases[0] @ bases[0].T @ bases[1] @ bases[1].T
    root = Estimator("gfk", components=2).fit(X, Y, T).method_.get_buffer("projection").numpy()
    return root @ root.T


@pytest.mark.parametrize("alignment", ["covariances", "subspaces", "geodesic"])
def test_the_machine_is_libsvm_s_on_mapped_source_samples(alignment: str) -> None:
    a = middle(alignment)
    model = SVC(kernel="precomputed", C=0.01).fit(X @ a @ X.T, Y)
    expected = model.predict((X @ a @ T.T).T)
    # the other side would be another machine, or nothing was tested
    assert (expected != model.predict(T @ a @ X.T)).any() or alignment == "geodesic"
    keys = {"alignment": alignment, "components": 2, "ridge": 0.5, "cost": 0.01}
    assert (Estimator("map_svm", **keys).fit(X, Y, T).predict(T) == expected).all()


def test_no_shift_is_the_linear_machine() -> None:
    """The covariances are one: the kernel is the product of samples."""
    expected = SVC(kernel="linear", C=0.1).fit(X, Y).predict(X)
    assert (Estimator("map_svm", cost=0.1).fit(X, Y, X).predict(X) == expected).all()


def test_a_domain_of_one_sample_has_no_covariance() -> None:
    with pytest.raises(InputError, match="one sample"):
        Estimator("map_svm").fit(X, Y, T[:1])
