from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.losses.entropy import entropy
from da_framework.methods.mme import MME
from da_framework.networks.cosine_head import CosineHead

KEYS: dict[str, Any] = {"weight": 0.7, "temperature": 0.5}
ROLES = ("source", "target", "target_labelled")


def test_the_head_sees_directions_alone() -> None:
    head = CosineHead(4, 3, temperature=0.5).double()
    features = torch.randn(5, 4, dtype=torch.float64)
    expected = 2 * (features / features.norm(dim=1, keepdim=True)) @ head.weight.T
    assert_close(head(features), expected)
    assert_close(head(7 * features), expected)
    assert head(torch.zeros(1, 4).double()).isfinite().all()


def test_head_and_encoder_play_against_each_other(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(MME, **KEYS), tiny.batch(*ROLES)
    assert isinstance(method.network.head, CosineHead)
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "target_labelled", "entropy"]
    term = objective.terms["entropy"]
    plain = entropy(method.network(batch["target"].x)[1])
    assert_close(term.value, plain)
    assert term.weight == -0.7
    signs = ((method.network.encoder, 0.7), (method.network.head, -0.7))
    for part, sign in signs:
        expected = [sign * own for own in gradient(plain, part)]
        assert any(own.any() for own in expected)
        assert_close(gradient(term.weight * term.value, part), expected)


@pytest.mark.parametrize("part", ["encoder", "head"])
def test_each_player_reaches_what_it_wants(tiny: Any, part: str) -> None:
    method, batch = tiny.method(MME, **KEYS), tiny.batch(*ROLES)
    optimizer = torch.optim.SGD(getattr(method.network, part).parameters(), lr=0.1)
    reached = []
    for _ in range(20):
        (objective,) = method.objectives(batch)
        term = objective.terms["entropy"]
        reached.append(term.value.item())
        optimizer.zero_grad()
        (term.weight * term.value).backward()
        optimizer.step()
    assert (reached[-1] > reached[0]) == (part == "head")
