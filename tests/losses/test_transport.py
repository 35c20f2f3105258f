from itertools import permutations

import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.losses.transport import joint_cost, optimal_coupling


def rows(n: int, d: int = 2, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, dtype=torch.float64, generator=generator) + shift


Y = torch.tensor([0, 2, 1, 0, 2])
SOURCE, TARGET, LOGITS = rows(5), rows(3, seed=1, shift=1.0), rows(3, 3, seed=2)


def cost(source: Tensor, target: Tensor, logits: Tensor) -> Tensor:
    return joint_cost(source, target, y=Y, logits=logits, feature_weight=0.7, label_weight=0.3)


def test_a_shuffled_copy_is_put_back_in_order() -> None:
    source, order = rows(4), torch.tensor([2, 0, 3, 1])
    coupling = optimal_coupling(torch.cdist(source, source[order]).square())
    expected = torch.zeros(4, 4).double()
    expected[order, torch.arange(4)] = 1 / 4
    assert_close(coupling, expected)


def test_on_a_line_rows_are_coupled_in_order() -> None:
    # three masses of 1/3 onto two of 1/2: the middle one is split
    source, target = torch.tensor([[5.0], [0.0], [1.0]]), torch.tensor([[0.0], [7.0]])
    coupling = optimal_coupling(torch.cdist(source, target).square())
    assert_close(coupling, torch.tensor([[0.0, 2], [2, 0], [1, 1]]) / 6)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_equal_numbers_are_a_matching_no_permutation_beats(n: int) -> None:
    given = rows(n, n).square()
    value = (optimal_coupling(given) * given).sum()
    matched = given[linear_sum_assignment(given.numpy())]
    assert_close(value, matched.mean())
    each = [given[torch.arange(n), list(order)].mean() for order in permutations(range(n))]
    assert_close(value, torch.stack(each).min())


@pytest.mark.parametrize(("n", "m"), [(5, 3), (2, 7), (1, 4)])
def test_is_pot_s_plan_with_uniform_masses(n: int, m: int) -> None:
    given = rows(n, m).square()
    coupling = optimal_coupling(given)
    assert_close(coupling.sum(1), torch.full((n,), 1 / n).double())
    assert_close(coupling.sum(0), torch.full((m,), 1 / m).double())
    assert (coupling >= 0).all()
    expected = torch.tensor(ot.emd2(ot.unif(n), ot.unif(m), given.numpy())).double()
    assert_close((coupling * given).sum(), expected)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_has_no_gradient_and_the_precision_of_the_cost(kind: torch.dtype) -> None:
    given = rows(4, 3).to(kind).requires_grad_()
    coupling = optimal_coupling(given)
    assert not coupling.requires_grad
    assert coupling.dtype == kind


def test_the_cost_equals_a_loop_over_pairs() -> None:
    actual = cost(SOURCE, TARGET, LOGITS)
    for i in range(5):
        for j in range(3):
            distance = (SOURCE[i] - TARGET[j]).square().sum()
            label = cross_entropy(LOGITS[j : j + 1], Y[i : i + 1])
            assert_close(actual[i, j], 0.7 * distance + 0.3 * label)


def test_gradient_of_the_cost() -> None:
    sides = [own.clone().requires_grad_() for own in (SOURCE, TARGET, LOGITS)]
    assert gradcheck(cost, sides)


def test_the_gradient_of_the_least_cost_is_that_with_the_coupling_held_fixed() -> None:
    sides = [own.clone().requires_grad_() for own in (SOURCE, TARGET, LOGITS)]

    def least(*given: Tensor) -> Tensor:
        entries = cost(*given)
        return (optimal_coupling(entries) * entries).sum()

    # finite differences couple anew, and the coupling's own change costs nothing at the minimum
    assert gradcheck(least, sides)
