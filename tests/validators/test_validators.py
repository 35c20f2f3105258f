import math
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from da_framework.core.batch import UNLABELLED, Outputs
from da_framework.validators.entropy import entropy
from da_framework.validators.information_maximization import information_maximization
from da_framework.validators.source_accuracy import source_accuracy

Validator = Callable[[Mapping[str, Outputs]], float]
VALIDATORS: list[Validator] = [entropy, information_maximization, source_accuracy]


def target_outputs(logits: Tensor, y: Tensor | None = None) -> Outputs:
    index = torch.arange(len(logits))
    labels = torch.full_like(index, UNLABELLED) if y is None else y
    return Outputs(logits, labels, torch.zeros_like(index), index, logits, logits)


def target(logits: Tensor) -> dict[str, Outputs]:
    return {"target": target_outputs(logits)}


def one_hot(*predicted: int, k: int = 4) -> Tensor:
    return 200 * torch.eye(k)[list(predicted)]


@pytest.mark.parametrize("k", [2, 4, 10])
def test_uniform_predictions_have_all_the_entropy_and_no_information(k: int) -> None:
    outputs = target(torch.zeros(7, k))
    assert entropy(outputs) == pytest.approx(-math.log(k))
    assert information_maximization(outputs) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("k", [2, 4, 10])
def test_certain_and_balanced_predictions_score_best(k: int) -> None:
    outputs = target(one_hot(*range(k), *range(k), k=k))
    assert entropy(outputs) == pytest.approx(0)
    assert information_maximization(outputs) == pytest.approx(math.log(k))


def test_certain_predictions_inform_as_much_as_their_shares_are_diverse() -> None:
    outputs = target(one_hot(0, 0, 0, 1))
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert information_maximization(outputs) == pytest.approx(expected)


def test_closed_form_of_two_uncertain_rows() -> None:
    p = torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    lost = (
        0.9 * math.log(0.9) + 0.1 * math.log(0.1) + 0.3 * math.log(0.3) + 0.7 * math.log(0.7)
    ) / 2
    diverse = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert entropy(target(p.log())) == pytest.approx(lost, abs=1e-6)
    assert information_maximization(target(p.log())) == pytest.approx(diverse + lost, abs=1e-6)


def test_a_collapsed_model_fools_entropy_but_not_information_maximization() -> None:
    collapsed = target(one_hot(2, 2, 2, 2))
    honest = target(0.02 * one_hot(0, 1, 2, 3))
    assert entropy(collapsed) > entropy(honest)
    assert information_maximization(collapsed) == pytest.approx(0, abs=1e-6)
    assert information_maximization(collapsed) < information_maximization(honest) - 0.5


def test_impossible_classes_make_no_nan() -> None:
    outputs = target(torch.tensor([[1e4, 0.0, -1e4], [0.0, 1e4, -1e4]]))
    assert entropy(outputs) == pytest.approx(0)
    assert information_maximization(outputs) == pytest.approx(math.log(2))


def test_source_accuracy_is_the_share_of_right_rows() -> None:
    outputs = {"source": target_outputs(one_hot(0, 1, 2, 3), torch.tensor([0, 1, 2, 0]))}
    assert source_accuracy(outputs) == 0.75


def test_source_accuracy_ignores_the_target() -> None:
    source = target_outputs(one_hot(0, 1), torch.tensor([0, 0]))
    for logits in (one_hot(0, 0, 0), torch.full((2, 4), torch.nan)):
        assert source_accuracy({"source": source} | target(logits)) == 0.5


@pytest.mark.parametrize("validator", [entropy, information_maximization])
def test_target_validators_need_no_source_and_read_no_labels(validator: Validator) -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    labelled = {"target": target_outputs(logits, logits.argmax(1))}
    assert validator(labelled) == validator(target(logits))


@pytest.mark.parametrize("validator", VALIDATORS)
def test_ignores_the_order_of_rows_and_the_level_of_logits(validator: Validator) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, y = torch.randn(9, 4, generator=generator), torch.randint(4, (9,), generator=generator)
    order = torch.randperm(9, generator=generator)
    expected = validator({"source": target_outputs(logits, y), "target": target_outputs(logits)})
    shuffled = {
        "source": target_outputs(logits[order], y[order]),
        "target": target_outputs(logits[order]),
    }
    assert validator(shuffled) == pytest.approx(expected, abs=1e-6)
    raised = {"source": target_outputs(logits + 5, y), "target": target_outputs(logits + 5)}
    assert validator(raised) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("validator", [entropy, information_maximization])
def test_ignores_the_names_of_classes(validator: Validator) -> None:
    logits = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    renamed = target(logits[:, [2, 0, 3, 1]])
    assert validator(renamed) == pytest.approx(validator(target(logits)), abs=1e-6)
