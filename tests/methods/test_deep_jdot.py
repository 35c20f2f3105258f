import sys
from typing import Any

import ot
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.batch import Samples
from da_framework.core.errors import InputError
from da_framework.methods.deep_jdot import DeepJDOT

KEYS: dict[str, Any] = {"weight": 0.5, "feature_weight": 0.7, "label_weight": 0.3}


def test_the_term_is_pot_s_least_cost(tiny: Any) -> None:
    method, batch = tiny.method(DeepJDOT, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "transport"]
    with torch.no_grad():
        source, _ = method.network(batch["source"].x)
        target, logits = method.network(batch["target"].x)
    distances = torch.as_tensor(ot.dist(source.numpy(), target.numpy()))
    labels = [cross_entropy(logits, y.repeat(5), reduction="none") for y in batch["source"].y]
    cost = 0.7 * distances + 0.3 * torch.stack(labels)
    expected = torch.tensor(ot.emd2(ot.unif(7), ot.unif(5), cost.numpy())).double()
    term = objective.terms["transport"]
    assert_close(term.value.detach(), expected)
    assert_close(objective.total, objective.terms["source"].value + 0.5 * term.value)


def test_a_shuffled_copy_of_the_source_costs_its_cross_entropy(tiny: Any) -> None:
    method, source = (
        tiny.method(DeepJDOT, **(KEYS | {"feature_weight": 1e3})),
        tiny.batch()["source"],
    )
    copy = Samples(source.x.flip(0), source.y.flip(0) * 0 - 1, source.domain + 1, source.row)
    (objective,) = method.objectives({"source": source, "target": copy})
    terms = objective.terms
    assert_close(terms["transport"].value, 0.3 * terms["source"].value)


def test_the_encoder_learns_from_both_costs_and_the_head_from_labels_alone(
    tiny: Any, gradient: Any
) -> None:
    batch = tiny.batch()
    for features, labels in ((0.0, 1.0), (1.0, 0.0)):
        keys = KEYS | {"feature_weight": features, "label_weight": labels}
        method = tiny.method(DeepJDOT, **keys)
        (objective,) = method.objectives(batch)
        value = objective.terms["transport"].value
        assert any(own.any() for own in gradient(value, method.network.encoder))
        assert any(own.any() for own in gradient(value, method.network.head)) == bool(labels)


def test_the_source_is_not_taught_by_the_labels_it_gives(tiny: Any) -> None:
    method = tiny.method(DeepJDOT, **(KEYS | {"feature_weight": 0.0}))
    outputs = method.outputs(tiny.batch())
    value = method.terms(outputs["source"], outputs["target"])["transport"].value
    source, target = (outputs[role].logits for role in ("source", "target"))
    derived = torch.autograd.grad(value, (source, target), allow_unused=True)
    assert derived[0] is None
    assert derived[1].any()


def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any) -> None:
    batch, reached = tiny.batch(), []
    for weight in (0.0, 2.0):
        method = tiny.train(tiny.method(DeepJDOT, **(KEYS | {"weight": weight})), [batch] * 20)
        with torch.no_grad():
            (objective,) = method.objectives(batch)
        reached.append(objective.terms["transport"].value)
    assert reached[1] < reached[0]


def test_without_pot_it_says_how_to_get_it(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(InputError, match="pip install"):
        tiny.method(DeepJDOT, **KEYS)
