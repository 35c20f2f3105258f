from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from da_framework.losses.confusion import class_confusion
from da_framework.methods.mcc import MCC

KEYS: dict[str, Any] = {"weight": 1.0, "temperature": 2.5}


def test_the_term_is_the_loss_of_the_target_s_predictions(tiny: Any) -> None:
    method, batch = tiny.method(MCC, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "confusion"]
    _, logits = method.network(batch["target"].x)
    assert_close(objective.terms["confusion"].value, class_confusion(logits, temperature=2.5))


def test_a_blind_head_gives_the_closed_form(tiny: Any) -> None:
    method = tiny.method(MCC, **KEYS)
    for parameter in method.network.head.parameters():
        nn.init.zeros_(parameter)
    (objective,) = method.objectives(tiny.batch())
    assert objective.terms["confusion"].value.item() == pytest.approx(1 - 1 / 3)


def test_encoder_and_head_learn_from_the_target_alone(tiny: Any, gradient: Any) -> None:
    method = tiny.method(MCC, **KEYS)
    batch, other = tiny.batch(), tiny.batch(seed=1)
    values = []
    for source in (batch["source"], other["source"]):
        (objective,) = method.objectives({"source": source, "target": batch["target"]})
        values.append(gradient(objective.terms["confusion"].value, method.network))
    assert_close(values[0], values[1])
    for part in (method.network.encoder, method.network.head):
        assert any(own.any() for own in gradient(objective.terms["confusion"].value, part))


def test_the_weight_scales_the_term(tiny: Any) -> None:
    (objective,) = tiny.method(MCC, **(KEYS | {"weight": 0.25})).objectives(tiny.batch())
    term = objective.terms["confusion"]
    assert term.weight == 0.25
    assert_close(objective.total, objective.terms["source"].value + 0.25 * term.value)


def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any) -> None:
    batch = tiny.batch()
    reached = []
    for weight in (0.0, 2.0):
        method = tiny.train(tiny.method(MCC, **(KEYS | {"weight": weight})), [batch] * 20)
        with torch.no_grad():
            (objective,) = method.objectives(batch)
        reached.append(objective.terms["confusion"].value)
    assert reached[1] < reached[0]
