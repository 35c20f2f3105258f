from typing import Any

import torch
from torch.testing import assert_close

from da_framework.methods.dsne import DSNE

KEYS: dict[str, Any] = {"weight": 0.7, "margin": 1.0}
ROLES = ("source", "target_labelled")


def test_the_term_compares_directions_of_features(tiny: Any) -> None:
    method, batch = tiny.method(DSNE, **KEYS), tiny.batch(*ROLES)
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "target_labelled", "neighborhood"]
    source, target = (method.network(batch[role].x)[0] for role in ROLES)
    cosines = torch.cosine_similarity(source[:, None], target[None], dim=2)
    costs = []
    for column, label in enumerate(batch["target_labelled"].y):
        same = batch["source"].y == label
        squared = 2 - 2 * cosines[:, column]
        costs.append((1 + squared[same].max() - squared[~same].min()).clamp_min(0))
    term = objective.terms["neighborhood"]
    assert_close(term.value, torch.stack(costs).mean())
    assert term.weight == 0.7


def test_the_encoder_learns_and_the_head_does_not(tiny: Any, gradient: Any) -> None:
    method = tiny.method(DSNE, **KEYS)
    (objective,) = method.objectives(tiny.batch(*ROLES))
    value = objective.terms["neighborhood"].value
    assert any(own.any() for own in gradient(value, method.network.encoder))
    assert not any(own.any() for own in gradient(value, method.network.head))


def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any) -> None:
    batch, reached = tiny.batch(*ROLES), []
    for weight in (0.0, 2.0):
        method = tiny.train(tiny.method(DSNE, **(KEYS | {"weight": weight})), [batch] * 30)
        (objective,) = method.objectives(batch)
        reached.append(objective.terms["neighborhood"].value.item())
    assert reached[1] < reached[0]
