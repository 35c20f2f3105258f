from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from da_framework.core.errors import InputError
from da_framework.networks.convnet import ConvNet
from da_framework.networks.mlp import MLP, Identity
from da_framework.networks.network import Network

Backbone = Callable[[tuple[int, ...]], nn.Module]
DIGITS = (3, 28, 28)

# as in conf/network: backbone, bottleneck, head, dropout
CONVNET = partial(ConvNet, channels=[16, 32], kernel=5, padding=2, batch_norm=True)
GANIN = partial(ConvNet, channels=[32, 48], kernel=5, padding=0, batch_norm=False)
LENET = partial(ConvNet, channels=[20, 50], kernel=5, padding=0, batch_norm=False)
FLAT = partial(MLP, widths=[64], dropout=0.0)
SETTINGS: dict[str, tuple[Backbone, list[int], list[int], tuple[int, ...], int]] = {
    "convnet": (CONVNET, [100, 100], [], DIGITS, 100),
    "convnet_without_bottleneck": (CONVNET, [], [], DIGITS, 32 * 7 * 7),
    "ganin_mnist": (GANIN, [], [100, 100], DIGITS, 48 * 4 * 4),
    "ganin_mnist_small_images": (GANIN, [], [100, 100], (1, 16, 16), 48),
    "lenet": (LENET, [500], [], DIGITS, 500),
    "lenet_oblong_images": (LENET, [], [], (1, 28, 20), 50 * 4 * 2),
    "mlp": (FLAT, [64], [], (2,), 64),
    "mlp_of_images": (FLAT, [], [8], (3, 4, 4), 64),
    "identity": (Identity, [], [], (2,), 2),
    "identity_of_images": (Identity, [], [], (3, 4, 5), 60),
}


def network(backbone: Backbone = Identity, **keys: Any) -> Network:
    given: dict[str, Any] = {"bottleneck": [], "head": [], "dropout": 0.0, "shape": (2,)}
    return Network(backbone=backbone, classes=10, **(given | keys))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", SETTINGS)
def test_features_are_what_the_head_reads(name: str) -> None:
    backbone, bottleneck, head, shape, width = SETTINGS[name]
    net = network(backbone, bottleneck=bottleneck, head=head, shape=shape).eval()
    features, logits = net(torch.randn(3, *shape))
    assert net.feature_dim == width
    assert features.shape == (3, width)
    assert logits.shape == (3, 10)
    assert torch.equal(net.head(features), logits)


def test_ganin_mnist_has_the_parameters_of_the_paper_s_figure() -> None:
    net = network(GANIN, head=[100, 100], shape=DIGITS)
    convolutions = (3 * 5 * 5 * 32 + 32) + (32 * 5 * 5 * 48 + 48)
    head = (48 * 4 * 4 * 100 + 100) + (100 * 100 + 100) + (100 * 10 + 10)
    assert count(net.encoder) == convolutions == 40_880
    assert count(net.head) == head == 88_010


def test_channels_are_left_out_whole() -> None:
    torch.manual_seed(0)
    dropped, plain = partial(LENET, dropout=0.5)(DIGITS), LENET(DIGITS)
    dropped.load_state_dict(plain.state_dict())
    x = torch.randn(4, *DIGITS)
    masked, whole = (net(x).unflatten(1, (50, 16)) for net in (dropped, plain))
    left_out = (masked == 0).all(2)
    assert 0.4 < left_out.double().mean() < 0.6
    assert torch.equal(masked, 2 * whole.masked_fill(left_out[..., None], 0.0))
    assert torch.equal(dropped.eval()(x), plain(x))


def test_a_bottleneck_may_have_batch_norm() -> None:
    net = network(FLAT, bottleneck=[4, 3], head=[5], batch_norm=True)
    kinds = [type(layer) for layer in net.encoder.bottleneck.children()]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in net.head)
    with pytest.raises(InputError, match=r"it needs a layer, network\.bottleneck=\[256\]"):
        network(FLAT, batch_norm=True)


def test_the_head_is_linear_without_hidden_layers() -> None:
    net = network(head=[])
    (layer,) = net.head
    assert isinstance(layer, nn.Linear)


def test_identity_passes_the_inputs_on() -> None:
    x = torch.randn(4, 3, 2)
    net = network(shape=(3, 2))
    assert torch.equal(net(x)[0], x.flatten(1))
    assert count(net.encoder) == 0


@pytest.mark.parametrize("weights", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", [torch.float32, torch.float64])
def test_works_in_the_precision_of_the_weights(inputs: torch.dtype, weights: torch.dtype) -> None:
    net = network(FLAT, bottleneck=[3]).to(weights)
    features, logits = net(torch.randn(4, 2, dtype=inputs))
    assert features.dtype == logits.dtype == weights


def test_mlp_is_linear_and_relu_of_the_flattened_input() -> None:
    mlp = MLP((2, 3), widths=[4, 5], dropout=0.0)
    x = torch.randn(6, 2, 3)
    first, second = (part for part in mlp.modules() if isinstance(part, nn.Linear))
    assert torch.equal(mlp(x), second(first(x.flatten(1)).relu()).relu())


@pytest.mark.parametrize("side", [15, 8, 1])
def test_too_small_images_are_refused_with_what_to_change(side: int) -> None:
    with pytest.raises(InputError, match=rf"{side}x{side} pixels.*2 blocks.*dataset\.size"):
        network(GANIN, shape=(3, side, side))


def test_the_shorter_side_decides_whether_images_are_too_small() -> None:
    with pytest.raises(InputError, match="28x15"):
        network(GANIN, shape=(3, 28, 15))


def test_inputs_that_are_no_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"needs images.*\(2,\).*network=mlp"):
        network(GANIN, shape=(2,))


@pytest.mark.parametrize(
    "given",
    [
        {"bottleneck": [50]},
        {"backbone": partial(MLP, widths=[50], dropout=0.5), "dropout": 0.0},
    ],
)
def test_dropout_is_there_only_in_training(given: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = network(**({"dropout": 0.5} | given))
    x = torch.randn(8, 2)
    evaluated = net.eval()(x)[0]
    assert torch.equal(net(x)[0], evaluated)
    trained = net.train()(x)[0]
    dropped = (trained == 0) & (evaluated > 0)
    assert 0 < dropped.sum() < (evaluated > 0).sum()
    # the rest is scaled up, so that the expectation stays
    assert torch.equal(trained[~dropped], 2 * evaluated[~dropped])


def test_the_head_drops_out_hidden_layers_but_no_logits() -> None:
    torch.manual_seed(0)
    net = network(head=[50], dropout=0.5).train()
    x = torch.randn(8, 2)
    assert torch.equal(net(x)[0], x)
    assert not torch.equal(net(x)[1], net(x)[1])
    assert isinstance(net.head[-1], nn.Linear)


def test_building_leaves_batch_norm_untouched_and_in_training() -> None:
    net = network(CONVNET, shape=DIGITS)
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(norms) == 2
    assert all(part.training for part in net.modules())
    for norm in norms:
        assert norm.num_batches_tracked is not None
        assert norm.num_batches_tracked.item() == 0
        assert norm.running_mean is not None
        assert not norm.running_mean.any()
