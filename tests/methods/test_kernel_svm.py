from typing import Any

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from da_framework.core.errors import InputError
from da_framework.estimator import Estimator
from da_framework.methods.kernel_svm import alternate

RNG = np.random.default_rng(6)
Y = np.arange(40) % 4
X = RNG.normal(size=(4, 3))[Y] * 2 + RNG.normal(size=(40, 3))
T = X + RNG.normal(size=(40, 3))


@pytest.mark.parametrize("cost", [0.1, 10.0])
@pytest.mark.parametrize("labels", [np.arange(4), np.array([7, 3, 9, 1])])
def test_its_predictions_are_those_of_libsvm(cost: float, labels: Any) -> None:
    expected = SVC(C=cost, gamma=1 / 3).fit(X, labels[Y]).predict(T)
    assert len({*expected}) == 4
    assert (Estimator("kernel_svm", cost=cost).fit(X, labels[Y], T).predict(T) == expected).all()


def test_two_samples_have_the_closed_form() -> None:
    """α = C for both where C is small: no offset, and the nearer one wins."""
    x, t = np.array([[0.0], [1.0]]), np.array([[0.3], [0.8]])
    model = Estimator("kernel_svm", cost=0.5).fit(x, [0, 1], t)
    method: Any = model.method_
    torch.testing.assert_close(method.pairs, torch.tensor([[0.5, -0.5]], dtype=torch.float64))
    torch.testing.assert_close(method.offsets, torch.zeros(1, dtype=torch.float64))
    assert model.predict(t).tolist() == [0, 1]


def test_of_equal_votes_the_first_class_wins() -> None:
    method: Any = Estimator("kernel_svm").fit(X, Y % 3, T).method_
    round_robin = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)  # a vote for each class
    method.keep({"pairs": torch.zeros_like(method.pairs), "offsets": round_robin})
    logits = method.judge(torch.as_tensor(T))
    assert (logits.argmax(1) == 0).all()


def test_a_class_without_a_labelled_row_is_never_said() -> None:
    method: Any = Estimator("kernel_svm").fit(X, Y, T).method_
    method.keep(method.learn(torch.as_tensor(X), torch.as_tensor(Y // 2 * 2)))
    assert {*method.judge(torch.as_tensor(T)).argmax(1).tolist()} == {0, 2}


def test_of_several_costs_two_folds_choose_one() -> None:
    """By hand: scikit-learn's machine on each half of every class, tested on the other."""
    noisy = np.where(np.arange(40) % 7 == 0, (Y + 1) % 4, Y)
    halves = np.arange(40) // 4 % 2
    folds = np.zeros(40, dtype=int)
    for label in range(4):
        folds[noisy == label] = np.arange((noisy == label).sum()) % 2
    assert (folds != halves).any()

    def right(cost: float) -> int:
        machines = (
            SVC(C=cost, gamma=1 / 3).fit(X[folds != fold], noisy[folds != fold]) for fold in (0, 1)
        )
        return sum(
            int((machine.predict(X[folds == fold]) == noisy[folds == fold]).sum())
            for fold, machine in enumerate(machines)
        )

    costs = [0.001, 0.1, 1.0, 1000.0]
    best = max(costs, key=right)
    assert best not in (costs[0], costs[-1])
    assert len({right(cost) for cost in costs}) > 2
    several, one = (Estimator("kernel_svm", cost=cost).fit(X, noisy, T) for cost in (costs, best))
    assert (several.predict(T) == one.predict(T)).all()
    pair: Any = several.method_, one.method_
    torch.testing.assert_close(*(method.pairs for method in pair), rtol=0, atol=0)
    # of equals the first
    equal = Estimator("kernel_svm", cost=[1e4, 1e5]).fit(X, Y, T).method_
    assert right(1e4) == right(1e5)
    torch.testing.assert_close(
        equal.get_buffer("pairs"),
        Estimator("kernel_svm", cost=1e4).fit(X, Y, T).method_.get_buffer("pairs"),
    )


def test_several_costs_need_two_samples_of_two_classes() -> None:
    with pytest.raises(InputError, match="give one number"):
        Estimator("kernel_svm", cost=[1.0, 2.0]).fit(X[:4], Y[:4], T)
    with pytest.raises(InputError, match="cost"):
        Estimator("kernel_svm", cost=[]).fit(X, Y, T)


def test_every_second_sample_of_a_class_is_in_the_other_half() -> None:
    assert alternate(torch.tensor([2, 0, 2, 2, 0, 1])).tolist() == [0, 0, 1, 0, 1, 0]
