"""SHOT with rotation prediction: the turns, and what learns from them."""

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.core.batch import Task
from da_framework.core.errors import InputError
from da_framework.methods.shot import SHOT
from da_framework.methods.shot_rotation import SHOTRotation, rotate

KEYS: dict[str, Any] = {"weight": 0.7, "pseudo_weight": 0.3, "rotation_weight": 0.6}


def test_images_are_turned_about_their_middle() -> None:
    image = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    turned = rotate(image.expand(4, 1, 2, 2), torch.arange(4))
    expected = [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    assert turned.squeeze(1).tolist() == expected


@pytest.mark.parametrize("shape", [(2,), (3, 5, 5)])
def test_turns_add_up(shape: tuple[int, ...]) -> None:
    x = torch.randn(16, *shape, generator=torch.Generator().manual_seed(0))
    first, second = (torch.arange(16) // 4, torch.arange(16) % 4)
    assert torch.equal(rotate(rotate(x, first), second), rotate(x, (first + second) % 4))


def test_points_are_turned_as_complex_numbers_are() -> None:
    x = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turns = torch.arange(8) % 4
    expected = torch.view_as_complex(x) * (1j**turns)
    assert_close(torch.view_as_complex(rotate(x, turns)), expected)


def test_the_term_is_the_head_s_cross_entropy_sample_by_sample(tiny: Any) -> None:
    method, batch = tiny.method(SHOTRotation, **KEYS), tiny.batch("target")
    method.generator.manual_seed(5)
    (objective,) = method.objectives(batch)
    drawn = torch.randint(4, (5,), generator=torch.Generator().manual_seed(5)).tolist()
    assert len(set(drawn)) > 1
    losses = []
    for (a, b), z in zip(batch["target"].x.tolist(), drawn, strict=True):
        angle = z * math.pi / 2
        cos, sin = math.cos(angle), math.sin(angle)
        pair = torch.tensor([[a, b], [cos * a - sin * b, sin * a + cos * b]], dtype=torch.float64)
        seen = method.network(pair)[0].flatten()
        losses.append(-method.turns(seen).log_softmax(0)[z])
    term = objective.terms["rotation"]
    assert_close(term.value, torch.stack(losses).mean())
    assert term.weight == 0.6


def test_only_the_turned_sample_moves_the_encoder(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(SHOTRotation, **KEYS), tiny.batch("target")
    still = method.network(batch["target"].x)[0].detach()
    method.generator.manual_seed(5)
    (objective,) = method.objectives(batch)
    drawn = torch.randint(4, (5,), generator=torch.Generator().manual_seed(5))
    turned = method.network(rotate(batch["target"].x, drawn))[0]
    logits = method.turns(torch.cat([still, turned], dim=1))
    expected = torch.nn.functional.cross_entropy(logits, drawn)
    encoder = method.network.encoder
    moved = gradient(objective.terms["rotation"].value, encoder)
    assert any(g.abs().max() > 0 for g in moved)
    assert_close(moved, gradient(expected, encoder))


def test_at_weight_zero_it_trains_as_shot_does(tiny: Any) -> None:
    batches = [tiny.batch("target", seed=seed) for seed in range(3)]
    keys = {key: KEYS[key] for key in ("weight", "pseudo_weight")}
    alone = tiny.train(tiny.method(SHOT, **keys), batches)
    beside = tiny.train(tiny.method(SHOTRotation, **keys, rotation_weight=0.0), batches)
    for name, value in alone.network.state_dict().items():
        assert torch.equal(beside.network.state_dict()[name], value)


def test_it_learns_by_how_far_samples_were_turned(tiny: Any) -> None:
    method = tiny.method(SHOTRotation, weight=0.0, pseudo_weight=0.0, rotation_weight=1.0)
    batches = [tiny.batch("target", seed=seed, target=20) for seed in range(300)]
    before = rotation_loss(method, batches[0])
    after = rotation_loss(tiny.train(method, batches, lr=0.5), batches[0])
    assert before > 1.2  # about that of four equal shares
    assert after < 0.3


def rotation_loss(method: Any, batch: Any) -> float:
    method.generator.manual_seed(1000)
    (objective,) = method.objectives(batch)
    return float(objective.terms["rotation"].value.detach())


@pytest.mark.parametrize("shape", [(3,), (1, 4, 6), (4, 4)])
def test_what_cannot_be_turned_is_refused(tiny: Any, shape: tuple[int, ...]) -> None:
    task = Task(("a", "b", "c"), ("s", "t"), {"target": 20}, shape)
    with pytest.raises(InputError, match=r"cannot be turned.*take method=shot$"):
        SHOTRotation(tiny.network(), task, alpha=0.5, batch_norm="shared", **KEYS)
