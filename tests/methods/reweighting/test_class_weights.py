"""Weights by class, against a loop and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.testing import assert_close

from da_framework.methods.reweighting.class_weights import balanced_class_weights


@pytest.mark.parametrize("counts", [(1,), (7, 7, 7), (970, 30), (1, 20, 300)])
def test_are_those_of_scikit_learn(counts: tuple[int, ...]) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=y)
    weights = balanced_class_weights(torch.tensor(counts))
    assert_close(weights.double(), torch.as_tensor(expected), rtol=1e-6, atol=0)
    # of mean 1 over the samples, and every class has as much of them as another
    assert weights[torch.as_tensor(y)].mean().item() == pytest.approx(1, rel=1e-6)
    assert_close(weights * torch.tensor(counts), torch.full((len(counts),), len(y) / len(counts)))


def test_a_class_without_samples_takes_nothing_from_the_others() -> None:
    assert_close(balanced_class_weights(torch.tensor([6, 0, 2])), torch.tensor([2 / 3, 0.0, 2.0]))
