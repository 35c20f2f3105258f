import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from da_framework.estimator import Estimator

RNG = np.random.default_rng(0)


def test_is_the_widest_margin() -> None:
    # between (0, 0) and (2, 0): the border is x = 1
    model = Estimator("linear_svm", cost=1000.0).fit([[0.0, 0.0], [2.0, 0.0]], [0, 1], [[0.0, 0.0]])
    assert model.predict([[0.9, 5.0], [1.1, -5.0]]).tolist() == [0, 1]


@pytest.mark.parametrize("classes", [2, 3])
def test_wide_rows_are_classified_as_by_the_primal(classes: int) -> None:
    means = 2 * RNG.normal(size=(classes, 40))
    y = RNG.integers(classes, size=60)
    x = means[y] + RNG.normal(size=(60, 40))
    fitted = Estimator("linear_svm", cost=0.01).fit(x, y, x)
    primal = LinearSVC(loss="hinge", C=0.01, intercept_scaling=100, max_iter=100000).fit(x, y)
    new = means[RNG.integers(classes, size=200)] + 2 * RNG.normal(size=(200, 40))
    assert (fitted.predict(new) == primal.predict(new)).mean() > 0.97


def test_a_class_without_rows_is_never_said_and_a_lone_one_always() -> None:
    model = Estimator("linear_svm").fit(np.eye(3), [1, 1, 1], np.eye(3))
    assert torch.as_tensor(model.predict(5 * np.eye(3))).tolist() == [1, 1, 1]
