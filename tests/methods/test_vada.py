import math
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as binary
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from torch.testing import assert_close

from da_framework.losses.virtual_adversarial import virtual_adversarial
from da_framework.methods.extra import Extra
from da_framework.methods.vada import VADA

KEYS: dict[str, Any] = {
    "hidden": [6],
    "weight": 0.5,
    "domain": 0.3,
    "source": 0.7,
    "target": 0.2,
    "radius": 0.4,
}


def test_blind_players_give_the_closed_forms(tiny: Any) -> None:
    method = tiny.method(VADA, **KEYS)
    for part in (method.discriminator, method.network.head):
        for parameter in part.parameters():
            nn.init.zeros_(parameter)
    first, second = method.objectives(tiny.batch())
    values = {name: term.value.item() for name, term in (first.terms | second.terms).items()}
    expected = {
        "discriminator": math.log(2),
        "source": math.log(3),
        "domain": math.log(2),
        "virtual_source": 0.0,
        "virtual_target": 0.0,
        "entropy": math.log(3),
    }
    assert values == pytest.approx(expected)


def test_the_weights_are_the_paper_s_times_one(tiny: Any) -> None:
    first, second = tiny.method(VADA, **KEYS).objectives(tiny.batch())
    assert (first.updates, second.updates) == (("discriminator",), ("model",))
    weights = {name: term.weight for name, term in second.terms.items()}
    assert weights == pytest.approx(
        {
            "source": 1.0,
            "domain": 0.15,
            "virtual_source": 0.35,
            "virtual_target": 0.1,
            "entropy": 0.1,
        }
    )


def test_steps_equal_a_loop_written_by_hand(tiny: Any) -> None:
    method = tiny.method(VADA, **KEYS)
    network, discriminator = deepcopy(method.network), deepcopy(method.discriminator)
    of_network, of_discriminator = (
        SGD(part.parameters(), lr=0.1) for part in (network, discriminator)
    )
    batches = [tiny.batch(seed=seed) for seed in range(3)]
    for number, (s, t) in enumerate((b["source"], b["target"]) for b in batches):
        generator = torch.Generator().manual_seed(number)
        zeros = {n: torch.zeros(n).double() for n in (5, 7)}

        def told(features: Tensor, other: Tensor, zeros: Any = zeros) -> Tensor:
            real, fake = discriminator(features), discriminator(other)
            return (binary(real, zeros[7] + 1) + binary(fake, zeros[5])) / 2

        def confused(features: Tensor, other: Tensor, zeros: Any = zeros) -> Tensor:
            real, fake = discriminator(features), discriminator(other)
            return (binary(real, zeros[7]) + binary(fake, zeros[5] + 1)) / 2

        def virtual(x: Tensor, generator: torch.Generator = generator) -> Tensor:
            noise = torch.randn(x.shape, generator=generator).double()
            return virtual_adversarial(
                lambda z: network(z)[1], x, noise=noise, radius=0.4 * math.sqrt(2)
            )

        features, others = network.encoder(s.x), network.encoder(t.x)
        of_discriminator.zero_grad()
        told(features.detach(), others.detach()).backward()  # type: ignore[no-untyped-call]
        of_discriminator.step()
        of_network.zero_grad()
        p = network.head(others).softmax(1)
        loss = cross_entropy(network.head(features), s.y) + 0.5 * (
            0.3 * confused(features, others)
            + 0.7 * virtual(s.x)
            + 0.2 * (virtual(t.x) - (p * p.log()).sum(1).mean())
        )
        loss.backward()
        of_network.step()
    tiny.train(method, batches)
    assert_close(method.network.state_dict(), network.state_dict())
    assert_close(method.discriminator.state_dict(), discriminator.state_dict())


def test_each_player_learns_in_its_own_move(tiny: Any, gradient: Any) -> None:
    method = tiny.method(VADA, **KEYS)
    first, second = method.objectives(tiny.batch())
    told = first.terms["discriminator"].value
    assert not any(own.any() for own in gradient(told, method.network))
    assert any(own.any() for own in gradient(told, method.discriminator))
    for name, learning in (
        ("domain", (True, False)),
        ("virtual_source", (True, True)),
        ("virtual_target", (True, True)),
        ("entropy", (True, True)),
    ):
        for part, learns in zip(
            (method.network.encoder, method.network.head), learning, strict=True
        ):
            derived = gradient(second.terms[name].value, part)
            assert any(own.any() for own in derived) == learns, name


def test_perturbed_rows_leave_no_trace_and_meet_no_dropout(tiny: Any) -> None:
    network = tiny.network(norm=True, dropout=0.5)
    method = tiny.method(VADA, network=network, **(KEYS | {"radius": 0.0})).train()
    plain = deepcopy(network).train()
    batch = tiny.batch()
    _, second = method.objectives(batch)
    plain(torch.cat([batch["source"].x, batch["target"].x]))
    assert method.training
    assert method.network.training
    for name, buffer in plain.named_buffers():
        assert_close(method.network.get_buffer(name), buffer)
    for role in ("source", "target"):
        assert second.terms[f"virtual_{role}"].value.item() == pytest.approx(0, abs=1e-15)


def test_terms_of_the_configuration_are_where_labels_are_learnt(tiny: Any) -> None:
    method = tiny.method(VADA, **KEYS)
    method.extra = {"size": Extra(loss=torch.mean, reads=["target.features"], weight=1.0, ramp=1.0)}
    having = ["extra_size" in move.terms for move in method.objectives(tiny.batch())]
    assert having == [False, True]


def test_every_weight_is_in_one_part(tiny: Any) -> None:
    method = tiny.method(VADA, **KEYS)
    moved = [id(p) for part in method.parts().values() for m in part for p in m.parameters()]
    assert sorted(moved) == sorted(id(p) for p in method.parameters())
