from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.networks.adapter import Adapter
from da_framework.networks.frozen import Frozen
from da_framework.networks.mlp import MLP, Identity, dense
from da_framework.networks.network import Network

WIDTHS = (2, 5, 3)
DOMAIN = torch.tensor([1, 0, 2, 2, 0, 1, 1])


def rows(*, behind: float = 0.0, seed: int = 0) -> Tensor:
    """Rows of mixed domains; what stands behind their own columns is the padding."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(DOMAIN), max(WIDTHS), dtype=torch.float64, generator=generator)
    inside = torch.arange(max(WIDTHS)) < torch.tensor(WIDTHS)[DOMAIN, None]
    return torch.where(inside, x, behind)


def adapter() -> Adapter:
    torch.manual_seed(0)
    return Adapter(WIDTHS, 4).double()


def network(widths: tuple[int, ...] = WIDTHS, **keys: Any) -> Any:
    torch.manual_seed(0)
    given: dict[str, Any] = {"bottleneck": [7], "head": [6], "dropout": 0.0, "adapter": 4} | keys
    backbone = partial(MLP, widths=[8], dropout=0.0)
    return Network((5,), 3, widths, **{"backbone": backbone, **given}).double()


def test_each_row_is_read_by_its_own_domain_s_layer_and_keeps_its_place() -> None:
    adapted: Any = adapter()
    x = rows()
    actual = adapted(x, DOMAIN)
    for row, domain in enumerate(DOMAIN.tolist()):
        layer = adapted.layers[domain]
        expected = layer.weight @ x[row, : WIDTHS[domain]] + layer.bias
        assert_close(actual[row], expected)


def test_the_weights_have_no_column_for_padding() -> None:
    layers: Any = adapter().layers
    assert [tuple(layer.weight.shape) for layer in layers] == [(4, 2), (4, 5), (4, 3)]


@pytest.mark.parametrize("behind", [1.0, -1e6])
def test_padding_changes_nothing(behind: float) -> None:
    adapted = network()
    losses = [adapted(x, DOMAIN)[1].square().sum() for x in (rows(), rows(behind=behind))]
    assert losses[0] == losses[1]
    gradients = [torch.autograd.grad(loss, list(adapted.parameters())) for loss in losses]
    assert all(map(torch.equal, *gradients))


def test_padding_has_no_gradient_and_a_row_s_own_columns_have() -> None:
    x = rows().requires_grad_()
    (gradient,) = torch.autograd.grad(adapter()(x, DOMAIN).square().sum(), x)
    inside = torch.arange(5) < torch.tensor(WIDTHS)[DOMAIN, None]
    assert torch.equal(gradient != 0, inside)


def test_a_layer_learns_from_its_domain_alone_and_always_has_a_gradient() -> None:
    layer: Any = adapter()
    # no row of the first domain: zeros there, and no hole that processes could disagree on
    first, second, third = layer.layers
    layer(rows(), DOMAIN.clamp_min(1)).square().sum().backward()
    assert not first.weight.grad.any()
    assert not first.bias.grad.any()
    assert second.weight.grad.any()
    layer.zero_grad()
    layer(rows(), DOMAIN)[DOMAIN == 2].square().sum().backward()
    assert third.weight.grad.any()
    assert not second.weight.grad.any()


def test_no_domain_means_the_last_padded_or_not() -> None:
    adapted, x = network(), rows()
    everywhere = adapted(x, torch.full((7,), 2))
    assert_close(adapted(x), everywhere, rtol=0, atol=0)
    assert_close(adapted(x[:, :3]), everywhere, rtol=0, atol=0)


def test_the_backbone_reads_the_adapter_s_width() -> None:
    adapted = network(adapter=11)
    names = [name for name, _ in adapted.encoder.named_children()]
    assert names == ["adapter", "backbone", "bottleneck"]
    assert adapted.encoder.backbone[1].in_features == 11
    assert network(backbone=Identity, bottleneck=[], adapter=9).feature_dim == 9


def test_the_adapter_is_copied_frozen_and_kept_with_the_encoder() -> None:
    adapted, other = network(), network().requires_grad_(False)
    for parameter in other.parameters():
        parameter.zero_()
    copy = Frozen(adapted)
    other.load_state_dict(adapted.state_dict())
    assert_close(copy(rows(), DOMAIN), other(rows(), DOMAIN), rtol=0, atol=0)
    assert_close(copy(rows(), DOMAIN), adapted(rows(), DOMAIN), rtol=0, atol=0)
    held = {id(parameter) for parameter in adapted.encoder.parameters()}
    assert {id(parameter) for parameter in adapted.encoder.adapter.parameters()} < held


@pytest.mark.parametrize("adapter", [None, 4, 256])
def test_without_widths_it_is_the_network_without_adapters_bit_for_bit(adapter: int | None) -> None:
    adapted = network((), adapter=adapter)
    torch.manual_seed(0)
    backbone = MLP((5,), widths=[8], dropout=0.0)
    bottleneck = dense([8, 7], 0.0)
    head = nn.Sequential(*dense([7, 6], 0.0), nn.Linear(6, 3))
    parts = {"encoder.backbone": backbone, "encoder.bottleneck": bottleneck, "head": head}
    expected = {
        f"{part}.{name}": value.double()
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }
    assert list(adapted.state_dict()) == list(expected)
    assert_close(dict(adapted.state_dict()), expected, rtol=0, atol=0)
    x = rows()
    features = bottleneck.double()(backbone.double()(x))
    assert_close(adapted(x, DOMAIN), (features, head.double()(features)), rtol=0, atol=0)


def test_widths_that_nothing_brings_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"have 2, 5, 3 columns: network\.adapter=256"):
        network(adapter=None)
