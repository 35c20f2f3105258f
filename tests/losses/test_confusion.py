import pytest
import torch
from scipy.stats import entropy as reference
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.confusion import class_confusion

SHAPES = [(6, 4), (2, 5), (1, 2), (9, 3)]


def logits(rows: int, classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    return 3 * torch.randn(rows, classes, dtype=torch.float64, generator=generator)


def weights_of(given: Tensor, temperature: float) -> Tensor:
    entropies = reference((given.detach() / temperature).softmax(1).numpy(), axis=1)
    weights = 1 + torch.exp(-torch.as_tensor(entropies))
    return len(given) * weights / weights.sum()


def by_the_matrix(given: Tensor, weights: Tensor, temperature: float) -> Tensor:
    p = (given / temperature).softmax(1)
    c = p.T @ torch.diag(weights) @ p
    c = c / c.sum(1, keepdim=True)
    return (c.sum() - c.trace()) / c.shape[0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
@pytest.mark.parametrize(("rows", "classes"), SHAPES)
def test_is_the_paper_s_matrix_its_weights_without_gradient(
    rows: int, classes: int, temperature: float
) -> None:
    given = logits(rows, classes).requires_grad_()
    weights = weights_of(given, temperature)
    value = class_confusion(given, temperature=temperature)
    expected = by_the_matrix(given, weights, temperature)
    assert_close(value, expected)
    assert_close(*(torch.autograd.grad(own, given)[0] for own in (value, expected)))
    assert gradcheck(lambda z: by_the_matrix(z, weights, temperature), given)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_certain_predictions_cost_nothing_and_undecided_ones_the_most(classes: int) -> None:
    sure = 1e3 * torch.eye(classes).repeat(2, 1)
    assert class_confusion(sure, temperature=2.5).item() == 0
    undecided = torch.zeros(5, classes)
    value = class_confusion(undecided, temperature=2.5)
    assert value.item() == pytest.approx(1 - 1 / classes, rel=1e-6)


def test_two_rows_weighed_by_hand() -> None:
    # the certain row weighs 1 + 1, the undecided one 1 + 1/2
    given = torch.tensor([[1e3, 0.0], [0.0, 0.0]], dtype=torch.float64)
    diagonal = [(2 + 1.5 / 4) / (2 + 1.5 / 2), (1.5 / 4) / (1.5 / 2)]
    assert class_confusion(given, temperature=1.0).item() == pytest.approx(1 - sum(diagonal) / 2)


def test_ignores_order_repetition_and_what_is_added_to_a_row() -> None:
    given = logits(6, 4)
    value = class_confusion(given, temperature=2.5)
    for same in (given.flip(0), given.flip(1), given.repeat(3, 1), given + logits(6, 1)):
        assert_close(class_confusion(same, temperature=2.5), value)


def test_a_class_left_out_is_wholly_confused_with_a_finite_gradient() -> None:
    given = torch.tensor([[900.0, 0.0, 0.0]] * 4, requires_grad=True)
    value = class_confusion(given, temperature=2.5)
    assert value.item() == pytest.approx(2 / 3)
    (gradient,) = torch.autograd.grad(value, given)
    assert gradient.isfinite().all()
