import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from da_framework.core.schedules import SigmoidRamp
from da_framework.losses.pseudo_label import pseudo_label
from da_framework.methods.pseudo_label import PseudoLabel

KEYS: dict[str, Any] = {"weight": 1.0, "ramp": 1.0, "threshold": 0.3}


def test_the_term_is_the_loss_of_the_target_s_predictions(tiny: Any) -> None:
    method, batch = tiny.method(PseudoLabel, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "pseudo_label"]
    _, logits = method.network(batch["target"].x)
    assert_close(objective.terms["pseudo_label"].value, pseudo_label(logits, threshold=0.3))


def test_a_blind_head_gives_the_closed_form(tiny: Any) -> None:
    method = tiny.method(PseudoLabel, **KEYS)
    for parameter in method.network.head.parameters():
        nn.init.zeros_(parameter)
    (objective,) = method.objectives(tiny.batch())
    assert objective.terms["pseudo_label"].value.item() == pytest.approx(math.log(3))


def test_encoder_and_head_learn_from_the_target_alone(tiny: Any, gradient: Any) -> None:
    method = tiny.method(PseudoLabel, **KEYS)
    batch, other = tiny.batch(), tiny.batch(seed=1)
    values = []
    for source in (batch["source"], other["source"]):
        (objective,) = method.objectives({"source": source, "target": batch["target"]})
        values.append(gradient(objective.terms["pseudo_label"].value, method.network))
    assert_close(values[0], values[1])
    for part in (method.network.encoder, method.network.head):
        assert any(own.any() for own in gradient(objective.terms["pseudo_label"].value, part))


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_the_weight_follows_the_ramp(tiny: Any, progress: float) -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    method = tiny.method(PseudoLabel, **(KEYS | {"weight": 2.0, "ramp": ramp}))
    method.progress = progress
    (objective,) = method.objectives(tiny.batch())
    term = objective.terms["pseudo_label"]
    assert term.weight == pytest.approx(2 * ramp(progress))
    assert_close(objective.total, objective.terms["source"].value + term.weight * term.value)


def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any) -> None:
    batch = tiny.batch()
    reached = []
    for weight in (0.0, 2.0):
        method = tiny.train(tiny.method(PseudoLabel, **(KEYS | {"weight": weight})), [batch] * 20)
        with torch.no_grad():
            (objective,) = method.objectives(batch)
        reached.append(objective.terms["pseudo_label"].value)
    assert reached[1] < reached[0]
