from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.core.batch import (
    UNLABELLED,
    Objective,
    Outputs,
    Samples,
    Term,
    as_input,
    both_features,
    send,
)
from da_framework.networks.adversary import reverse_gradient


def test_total_is_the_weighted_sum_with_its_gradient() -> None:
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (2.0, 5.0))
    objective = Objective(
        {"square": Term(a.square(), 0.5), "plain": Term(b), "off": Term(a * b, 0)}
    )
    assert objective.total.shape == ()
    assert_close(objective.total, torch.tensor(0.5 * 4 + 5).double())
    da, db = torch.autograd.grad(objective.total, (a, b))
    assert (da.item(), db.item()) == (0.5 * 2 * 2, 1.0)


def test_a_term_weighs_one_and_an_objective_moves_the_model_unless_told() -> None:
    assert Term(torch.zeros(())).weight == 1
    assert Objective({}).updates == ("model",)


def test_bytes_become_numbers_between_minus_one_and_one() -> None:
    x = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    built = as_input(x)
    assert built.dtype == torch.float32
    assert built.shape == x.shape
    assert_close(built.flatten(), torch.linspace(-1, 1, 256))
    assert torch.equal(x.flatten(), torch.arange(256, dtype=torch.uint8)), "given bytes are kept"


def test_other_inputs_stay_as_they_are() -> None:
    x = torch.tensor([[300.0, -7.0]])
    assert as_input(x) is x


def test_rows_are_taken_from_every_field() -> None:
    column = torch.arange(4)
    samples = Samples(column[:, None].float(), column, column + 10, column + 20)
    for rows in (torch.tensor([2, 1]), slice(1, 3)):
        taken = samples.at(rows)
        assert torch.equal(taken.x, samples.x[rows])
        assert torch.equal(taken.y, samples.y[rows])
        assert torch.equal(taken.domain, samples.domain[rows])
        assert torch.equal(taken.row, samples.row[rows])


def test_the_hidden_label_is_no_class() -> None:
    assert UNLABELLED < 0


@pytest.mark.parametrize("how", ["one pass", "exchanged", "a pass each", "reversed", "no gradient"])
def test_the_features_of_both_sides_are_copied_only_where_they_are_apart(how: str) -> None:
    leaf = torch.randn(5, 3, dtype=torch.float64, requires_grad=how != "no gradient")
    whole = reverse_gradient(2 * leaf, 3.0) if how == "reversed" else 2 * leaf
    sides = whole.split_with_sizes([3, 2])
    if how == "exchanged":
        sides = sides[::-1]
    if how == "a pass each":
        sides = (2 * leaf[:3], 2 * leaf[3:])
    row = torch.zeros(0)
    both = both_features(*(Outputs(row, row, row, row, side, side) for side in sides))
    assert torch.equal(both, torch.cat(sides))
    assert (both is whole) == (how == "one pass")
    if how != "no gradient":
        (gradient,) = torch.autograd.grad(both.square().sum(), leaf)
        assert_close(gradient, (-3 if how == "reversed" else 1) * 8 * leaf)


@pytest.mark.parametrize(("name", "at_once"), [("cuda", True), ("cpu", False), ("mps", False)])
def test_only_a_gpu_is_sent_to_without_waiting(
    monkeypatch: pytest.MonkeyPatch, name: str, at_once: bool
) -> None:
    asked: list[Any] = []

    def to(own: Tensor, where: torch.device, *, non_blocking: bool) -> Tensor:
        asked.append((where, non_blocking))
        return own

    monkeypatch.setattr(Tensor, "to", to)
    send(torch.arange(3), torch.device(name))
    assert asked == [(torch.device(name), at_once)]


def test_what_is_sent_has_the_type_of_another() -> None:
    assert send(torch.arange(3), torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
