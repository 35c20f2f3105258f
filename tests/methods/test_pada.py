from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.dann import DANN
from da_framework.methods.pada import PADA

KEYS: dict[str, Any] = {"hidden": [6], "weight": 0.7, "coefficient": 0.5}


def refreshed(tiny: Any, **keys: Any) -> Any:
    """A method that has met class 0 three times as often as the others."""
    method = tiny.method(PADA, **(KEYS | keys))
    target = method.outputs(tiny.batch())["target"]
    logits = torch.tensor([0.6, 0.2, 0.2], dtype=torch.float64).log().expand(5, 3)
    method.refresh({"target": target._replace(logits=logits)})
    return method


def test_weights_are_the_mean_predictions_by_their_largest(tiny: Any) -> None:
    method = refreshed(tiny)
    assert_close(method.met, torch.tensor([1.0, 1 / 3, 1 / 3], dtype=torch.float64))
    assert "met" in method.state_dict()


def test_source_rows_count_as_much_as_their_class_is_met(tiny: Any) -> None:
    method, batch = refreshed(tiny), tiny.batch()
    (objective,) = method.objectives(batch)
    features, logits = method.network(torch.cat([batch["source"].x, batch["target"].x]))
    rows = torch.where(batch["source"].y == 0, 1.0, 1 / 3)
    losses = cross_entropy(logits[:7], batch["source"].y, reduction="none")
    assert_close(objective.terms["source"].value, (rows * losses).mean())
    weights = torch.cat([rows, torch.ones(5)]).double()
    expected = domain_adversarial(method.discriminator(features), n=7, weights=weights)
    assert_close(objective.terms["domain"].value, expected)
    assert objective.terms["domain"].weight == 0.7


def test_before_any_refresh_it_is_domain_adversarial_training(tiny: Any) -> None:
    first, other = tiny.method(PADA, **KEYS), tiny.method(DANN, **KEYS)
    batch = tiny.batch("source", "target", "target_labelled")
    (mine,), (plain,) = first.objectives(batch), other.objectives(batch)
    assert mine.terms.keys() == plain.terms.keys()
    assert_close(mine.total, plain.total)


def test_a_class_that_is_never_met_teaches_nothing(tiny: Any, gradient: Any) -> None:
    method = tiny.method(PADA, **KEYS)
    method.met.copy_(torch.tensor([1.0, 1.0, 0.0]))
    batch = tiny.batch()
    source = batch["source"]._replace(y=torch.full((7,), 2))
    (objective,) = method.objectives({**batch, "source": source})
    assert not any(own.any() for own in gradient(objective.terms["source"].value, method.network))


def test_labels_are_smoothed_as_everywhere(tiny: Any) -> None:
    batch = tiny.batch()
    values = [
        next(iter(tiny.method(kind, label_smoothing=0.1, **KEYS).objectives(batch)))
        for kind in (PADA, DANN)
    ]
    assert_close(values[0].terms["source"].value, values[1].terms["source"].value)
