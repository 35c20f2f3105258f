from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.methods.mix_style import MixStyle, Style, mix
from da_framework.methods.source_only import SourceOnly

KEYS: dict[str, Any] = {"layers": 1, "probability": 1.0, "concentration": 0.1}


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (4, 3, 7), (4, 9)])
def test_the_statistics_are_between_those_of_the_two_samples(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    z = 2 + torch.randn(shape, dtype=torch.float64, generator=generator)
    shares, others = torch.tensor([0.0, 0.3, 0.5, 1.0]), torch.tensor([1, 2, 3, 0])
    mixed = mix(z, Style(shares.double(), others))
    places = tuple(range(2, len(shape))) or (1,)
    share = shares.double().view(-1, *[1] * (len(shape) - len(places) - 1))
    for spread in (False, True):
        own, after = (
            (values.var(places, correction=0) + 1e-6).sqrt() if spread else values.mean(places)
            for values in (z, mixed)
        )
        assert_close(after, share * own + (1 - share) * own[others], rtol=1e-5, atol=0)
    # what is seen stays: normalised, it is what it was
    first, second = (
        (values - values.mean(places, keepdim=True)) / values.std(places, keepdim=True)
        for values in (z, mixed)
    )
    assert_close(first, second, rtol=1e-5, atol=1e-5)
    assert_close(mixed[3], z[3])


def test_at_probability_zero_it_is_training_on_the_source(tiny: Any) -> None:
    method = tiny.method(MixStyle, **(KEYS | {"probability": 0.0}))
    (mixed,) = method.objectives(tiny.batch("source"))
    (plain,) = tiny.method(SourceOnly).objectives(tiny.batch("source"))
    assert torch.equal(mixed.total, plain.total)


def test_training_alone_mixes_and_leaves_no_trace(tiny: Any) -> None:
    method, batch = tiny.method(MixStyle, **KEYS), tiny.batch("source")
    before = method.network(batch["source"].x)[1]
    method.generator.manual_seed(0)
    (mixed,) = method.objectives(batch)
    (plain,) = tiny.method(SourceOnly).objectives(batch)
    assert not torch.equal(mixed.total, plain.total)
    assert torch.equal(method.network(batch["source"].x)[1], before)
    assert not any(module._forward_hooks for module in method.modules())


def test_the_probability_is_that_of_a_layer_in_a_step(tiny: Any) -> None:
    method = tiny.method(MixStyle, **(KEYS | {"probability": 0.3}))
    drawn = [method.draw_style(4) for _ in range(1000)]
    assert sum(style is not None for style in drawn) / 1000 == pytest.approx(0.3, abs=0.05)
    style = next(style for style in drawn if style is not None)
    assert style.others.sort().values.tolist() == [0, 1, 2, 3]


def test_a_backbone_without_layers_is_refused(tiny: Any) -> None:
    network = tiny.network()
    network.encoder.backbone = torch.nn.Identity()
    with pytest.raises(InputError, match="has none"):
        tiny.method(MixStyle, network=network, **KEYS)
