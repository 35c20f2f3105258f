from typing import Any

import torch
from torch.testing import assert_close

from da_framework.losses.consistency import hard_consistency
from da_framework.methods.fixmatch import FixMatch

KEYS: dict[str, Any] = {"weight": 0.7, "threshold": 0.35}
ROLES = ("source", "target", "target_strong")


def test_the_distorted_target_learns_what_is_said_of_the_plain_one(tiny: Any) -> None:
    method, batch = tiny.method(FixMatch, **KEYS), tiny.batch(*ROLES)
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "consistency"]
    _, plain = method.network(batch["target"].x)
    _, strong = method.network(batch["target_strong"].x)
    expected = hard_consistency(strong, plain, threshold=0.35)
    assert expected > 0
    assert_close(objective.terms["consistency"].value, expected)
    assert objective.terms["consistency"].weight == 0.7


def test_no_gradient_comes_by_way_of_the_plain_target(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(FixMatch, **KEYS), tiny.batch(*ROLES)
    outputs = method.outputs(batch)
    value = method.method_terms(outputs)["consistency"].value
    fields = (outputs["target"].logits, outputs["target_strong"].logits)
    still, moved = torch.autograd.grad(value, fields, allow_unused=True, retain_graph=True)
    assert still is None
    assert moved.any()


def test_it_says_nothing_until_it_is_sure(tiny: Any) -> None:
    method = tiny.method(FixMatch, **(KEYS | {"threshold": 1.0}))
    (objective,) = method.objectives(tiny.batch(*ROLES))
    assert objective.terms["consistency"].value == 0


def test_it_is_trained_from_the_command_line(da: Any) -> None:
    ended = da.train("method=fixmatch")
    assert ended.code == 0, ended
