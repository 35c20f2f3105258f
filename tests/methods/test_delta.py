from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError
from da_framework.methods.delta import DELTA

KEYS: dict[str, Any] = {"weight": 0.3, "new_weight": 0.2, "gradual": 0.0, "layers": None}


def test_nothing_at_the_start_and_weighed_squares_after(tiny: Any) -> None:
    method = tiny.method(DELTA, network=tiny.begun(), **KEYS | {"layers": ["bottleneck.0"]})
    method.attention_0.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    batch = tiny.batch("target_labelled")
    (objective,) = method.objectives(batch)
    assert_close(objective.terms["maps"].value, torch.zeros(()).double())
    with torch.no_grad():
        method.network.encoder.bottleneck[0].bias.add_(torch.tensor([1.0, 2.0, 0.0, 3.0]))
    (objective,) = method.objectives(batch)
    expected = torch.tensor(0.1 * 1 + 0.2 * 4 + 0.4 * 9).double()
    assert_close(objective.terms["maps"].value, expected)


def whole(method: Any, tiny: Any) -> dict[str, Outputs]:
    rows = tiny.samples("target_labelled", rows=20)
    return {"target_labelled": method.evaluate_samples(rows)}


def test_attends_to_what_it_costs_most_to_lose(tiny: Any) -> None:
    """A channel that is 0 anyway costs nothing; all others are at least as dear on the whole."""
    network = tiny.begun()
    with torch.no_grad():
        network.encoder.bottleneck[0].bias[2] = -100.0  # behind the ReLU: always 0
    method = tiny.method(DELTA, network=network, **KEYS | {"layers": ["bottleneck.1"]})
    method.refresh(whole(method, tiny))
    attention = method.attention_0
    assert_close(attention.sum(), torch.ones(()).double())
    assert attention.argmax() != 2
    assert attention.max() > attention[2] > 0


def test_attention_is_of_the_network_it_began_with(tiny: Any) -> None:
    method = tiny.method(DELTA, network=tiny.begun(), **KEYS)
    method.refresh(whole(method, tiny))
    before = method.attention_0.clone()
    method.progress = 0.5
    outputs = whole(method, tiny)
    features = outputs["target_labelled"].features.flip(0)
    method.refresh({"target_labelled": outputs["target_labelled"]._replace(features=features)})
    assert_close(method.attention_0, before)


def test_every_weighty_layer_by_default_and_wrong_names_are_listed(tiny: Any) -> None:
    assert tiny.method(DELTA, **KEYS).layers == ("backbone.1", "bottleneck.0")
    with pytest.raises(InputError, match=r"layers are backbone, backbone\.0, .*bottleneck\.1"):
        tiny.method(DELTA, **KEYS | {"layers": ["stage4"]})
