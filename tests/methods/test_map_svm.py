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


def test_of_several_costs_two_folds_choose_one_with_the_map_of_all_samples() -> None:
    a, noisy = middle("covariances"), np.where(np.arange(40) % 3 == 0, (Y + 1) % 4, Y)
    folds = np.array([(noisy[:row] == label).sum() % 2 for row, label in enumerate(noisy)])

    def right(cost: float) -> int:
        count = 0
        for fold in (0, 1):
            learnt, held = X[folds != fold], X[folds == fold]
            kernel = learnt @ a @ learnt.T
            model = SVC(kernel="precomputed", C=cost).fit(kernel, noisy[folds != fold])
            predicted = model.predict((learnt @ a @ held.T).T)
            count += int((predicted == noisy[folds == fold]).sum())
        return count

    costs = [0.001, 0.03, 0.1]  # with the map on the other side, 0.03 would do best
    best = max(costs, key=right)
    assert best != costs[0]
    keys = {"alignment": "covariances", "ridge": 0.5}
    several, one = (
        Estimator("map_svm", cost=cost, **keys).fit(X, noisy, T).method_.get_buffer("pairs")
        for cost in (costs, best)
    )
    assert (several == one).all()
