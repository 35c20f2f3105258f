import math
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as binary
from torch.optim import SGD
from torch.testing import assert_close

from da_framework.methods.adda import ADDA
from da_framework.methods.extra import Extra

KEYS: dict[str, Any] = {"hidden": [6], "weight": 0.5}


def test_a_blind_discriminator_costs_log_2_either_way(tiny: Any) -> None:
    method = tiny.method(ADDA, **KEYS)
    for parameter in method.discriminator.parameters():
        nn.init.zeros_(parameter)
    first, second = method.objectives(tiny.batch())
    assert first.terms["discriminator"].value.item() == pytest.approx(math.log(2))
    assert second.terms["domain"].value.item() == pytest.approx(math.log(2))


def test_steps_equal_a_loop_written_by_hand(tiny: Any) -> None:
    method = tiny.method(ADDA, **KEYS)
    encoder, discriminator = deepcopy(method.network.encoder), deepcopy(method.discriminator)
    fixed = deepcopy(encoder)
    of_encoder, of_discriminator = (
        SGD(part.parameters(), lr=0.1) for part in (encoder, discriminator)
    )
    batches = [tiny.batch(seed=seed) for seed in range(4)]
    for batch in batches:
        source, target = fixed(batch["source"].x).detach(), encoder(batch["target"].x)
        real, fake = discriminator(source), discriminator(target.detach())
        told = (binary(real, torch.ones(7).double()) + binary(fake, torch.zeros(5).double())) / 2
        of_discriminator.zero_grad()
        (0.5 * told).backward()  # type: ignore[no-untyped-call]
        of_discriminator.step()
        of_encoder.zero_grad()
        taken = binary(discriminator(target), torch.ones(5).double())
        (0.5 * taken).backward()  # type: ignore[no-untyped-call]
        of_encoder.step()
    start = deepcopy(method.network.encoder.state_dict())
    tiny.train(method, batches)
    assert_close(method.network.encoder.state_dict(), encoder.state_dict())
    assert_close(method.discriminator.state_dict(), discriminator.state_dict())
    assert not torch.equal(
        encoder.state_dict()["bottleneck.0.weight"], start["bottleneck.0.weight"]
    )


def test_logits_are_what_the_frozen_head_makes_of_features(tiny: Any, gradient: Any) -> None:
    method = tiny.method(ADDA, reads="logits", **KEYS)
    batch, head = tiny.batch(), method.network.head
    source = head(method.trained.module.encoder(batch["source"].x)).detach()
    target = head(method.network.encoder(batch["target"].x))
    first, second = method.objectives(batch)
    real, fake = method.discriminator(source), method.discriminator(target)
    told = (binary(real, torch.ones(7).double()) + binary(fake, torch.zeros(5).double())) / 2
    assert_close(first.terms["discriminator"].value, told)
    taken = second.terms["domain"].value
    assert_close(taken, binary(fake, torch.ones(5).double()))
    for own, expected in zip(
        gradient(taken, method.network.encoder),
        gradient(binary(fake, torch.ones(5).double()), method.network.encoder),
        strict=True,
    ):
        assert own.any()
        assert_close(own, expected)


def test_the_head_and_the_source_s_encoder_stay_as_they_were(tiny: Any) -> None:
    network = tiny.network(norm=True)
    method = tiny.method(ADDA, network=network, **KEYS)
    before = deepcopy(method.state_dict())
    tiny.train(method, [tiny.batch(seed=seed) for seed in range(3)])
    after = method.state_dict()
    fixed = [name for name in after if name.startswith(("trained", "network.head"))]
    assert "trained.module.encoder.backbone.1.running_mean" in fixed
    for name in fixed:
        assert torch.equal(after[name], before[name]), name
    for name in ("bottleneck.0.weight", "backbone.1.running_mean"):
        assert not torch.equal(after[f"network.encoder.{name}"], before[f"network.encoder.{name}"])


def test_dropout_does_not_tell_the_encoders_apart(tiny: Any) -> None:
    network = tiny.network(dropout=0.5)
    network.head.insert(0, nn.Dropout(0.5))
    method = tiny.method(ADDA, network=network, **KEYS).train()
    batch = tiny.batch(source=5)
    same = batch["target"]._replace(x=batch["source"].x)
    outputs = method.outputs({**batch, "target": same})
    # before any step both encoders make the same of the same samples
    assert_close(outputs["target"].features, outputs["source"].features)
    assert_close(outputs["target"].logits, outputs["source"].logits)


def test_each_player_learns_in_its_own_move(tiny: Any, gradient: Any) -> None:
    method = tiny.method(ADDA, **KEYS)
    first, second = method.objectives(tiny.batch())
    assert (first.updates, second.updates) == (("discriminator",), ("encoder",))
    told, taken = first.terms["discriminator"], second.terms["domain"]
    assert (told.weight, taken.weight) == (0.5, 0.5)
    assert not any(own.any() for own in gradient(told.value, method.network.encoder))
    assert any(own.any() for own in gradient(told.value, method.discriminator))
    assert any(own.any() for own in gradient(taken.value, method.network.encoder))


def test_source_rows_are_evaluated_by_the_frozen_encoder(tiny: Any) -> None:
    method = tiny.method(ADDA, domains=3, **KEYS)
    tiny.train(method, [tiny.batch(domains=3)] * 3)
    x, domain = tiny.batch()["source"].x, torch.tensor([0, 2, 1, 2, 0, 1, 2])
    source, target = method.trained(x), method.network(x)
    for actual, from_source, other in zip(method(x, domain), source, target, strict=True):
        assert not torch.equal(from_source, other)
        assert_close(actual[domain < 2], from_source[domain < 2])
        assert_close(actual[domain == 2], other[domain == 2])
    assert_close(method(x), target)


def test_before_any_step_both_encoders_are_the_trained_one(tiny: Any) -> None:
    network = tiny.network(seed=3)
    expected = network(tiny.batch()["source"].x)
    method = tiny.method(ADDA, network=network, **KEYS)
    x = tiny.batch()["source"].x
    for number in (0, 1):
        assert_close(method(x, torch.full((7,), number)), expected)


def test_terms_of_the_configuration_are_in_the_encoder_s_move(tiny: Any, gradient: Any) -> None:
    method = tiny.method(ADDA, **KEYS)
    method.extra = {"size": Extra(loss=torch.mean, reads=["target.logits"], weight=1.0, ramp=1.0)}
    first, second = method.objectives(tiny.batch())
    assert "extra_size" not in first.terms
    value = second.terms["extra_size"].value
    assert any(own.any() for own in gradient(value, method.network.encoder))


def test_every_trained_weight_is_in_one_part(tiny: Any) -> None:
    method = tiny.method(ADDA, **KEYS)
    moved = [id(p) for part in method.parts().values() for m in part for p in m.parameters()]
    assert sorted(moved) == sorted(id(p) for p in method.parameters() if p.requires_grad)
