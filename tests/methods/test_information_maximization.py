from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from da_framework.core.schedules import SigmoidRamp
from da_framework.losses.information import negative_mutual_information
from da_framework.methods.information_maximization import InformationMaximization

KEYS: dict[str, Any] = {"weight": 1.0, "ramp": 1.0}


def test_the_term_is_the_loss_of_the_target_s_predictions(tiny: Any) -> None:
    method, batch = tiny.method(InformationMaximization, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "information"]
    _, logits = method.network(batch["target"].x)
    assert_close(objective.terms["information"].value, negative_mutual_information(logits))


def test_a_blind_head_gives_the_closed_form(tiny: Any) -> None:
    method = tiny.method(InformationMaximization, **KEYS)
    for parameter in method.network.head.parameters():
        nn.init.zeros_(parameter)
    (objective,) = method.objectives(tiny.batch())
    assert objective.terms["information"].value.item() == pytest.approx(0, abs=1e-12)


def test_encoder_and_head_learn_from_the_target_alone(tiny: Any, gradient: Any) -> None:
    method = tiny.method(InformationMaximization, **KEYS)
    batch, other = tiny.batch(), tiny.batch(seed=1)
    values = []
    for source in (batch["source"], other["source"]):
        (objective,) = method.objectives({"source": source, "target": batch["target"]})
        values.append(gradient(objective.terms["information"].value, method.network))
    assert_close(values[0], values[1])
    for part in (method.network.encoder, method.network.head):
        assert any(own.any() for own in gradient(objective.terms["information"].value, part))


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_the_weight_follows_the_ramp(tiny: Any, progress: float) -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    method = tiny.method(InformationMaximization, **(KEYS | {"weight": 2.0, "ramp": ramp}))
    method.progress = progress
    (objective,) = method.objectives(tiny.batch())
    term = objective.terms["information"]
    assert term.weight == pytest.approx(2 * ramp(progress))
    assert_close(objective.total, objective.terms["source"].value + term.weight * term.value)


def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any) -> None:
    batch = tiny.batch()
    reached = []
    for weight in (0.0, 2.0):
        method = tiny.train(
            tiny.method(InformationMaximization, **(KEYS | {"weight": weight})), [batch] * 20
        )
        with torch.no_grad():
            (objective,) = method.objectives(batch)
        reached.append(objective.terms["information"].value)
    assert reached[1] < reached[0]
