from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.core.schedules import SigmoidRamp
from da_framework.losses.coral import coral, log_coral
from da_framework.methods.deep_coral import DeepCORAL

KEYS: dict[str, Any] = {"weight": 2.0, "ramp": 1.0, "metric": "euclidean", "ridge": 0.1}


@pytest.mark.parametrize("metric", ["euclidean", "log_euclidean"])
def test_the_term_is_the_distance_of_the_features(tiny: Any, metric: str) -> None:
    method, batch = tiny.method(DeepCORAL, **(KEYS | {"metric": metric})), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "coral"]
    source, target = (method.network(batch[role].x)[0] for role in ("source", "target"))
    expected = {
        "euclidean": coral(source, target),
        "log_euclidean": log_coral(source, target, ridge=0.1),
    }
    assert_close(objective.terms["coral"].value, expected[metric])


def test_a_moved_copy_of_the_source_costs_nothing(tiny: Any) -> None:
    method, batch = tiny.method(DeepCORAL, **KEYS), tiny.batch()
    outputs = method.outputs(batch)
    moved = outputs["source"]._replace(features=outputs["source"].features + 3)
    value = method.terms(outputs["source"], moved)["coral"].value
    assert_close(value, torch.zeros(()).double())


def test_the_encoder_learns_and_the_head_does_not(tiny: Any, gradient: Any) -> None:
    method = tiny.method(DeepCORAL, **KEYS)
    (objective,) = method.objectives(tiny.batch())
    value = objective.terms["coral"].value
    assert any(own.any() for own in gradient(value, method.network.encoder))
    assert not any(own.any() for own in gradient(value, method.network.head))


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_the_weight_follows_the_ramp(tiny: Any, progress: float) -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    method = tiny.method(DeepCORAL, **(KEYS | {"ramp": ramp}))
    method.progress = progress
    (objective,) = method.objectives(tiny.batch())
    term = objective.terms["coral"]
    assert term.weight == pytest.approx(2.0 * ramp(progress))
    assert_close(objective.total, objective.terms["source"].value + term.weight * term.value)


@pytest.mark.parametrize("metric", ["euclidean", "log_euclidean"])
def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any, metric: str) -> None:
    batch, reached = tiny.batch(), []
    for weight in (0.0, 5.0):
        keys = KEYS | {"weight": weight, "metric": metric}
        method = tiny.train(tiny.method(DeepCORAL, **keys), [batch] * 20)
        with torch.no_grad():
            (objective,) = method.objectives(batch)
        reached.append(objective.terms["coral"].value)
    assert reached[1] < reached[0]
