"""Activations computed again: the same training, bit for bit, and less that is kept."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from da_framework.config.schema import instantiate
from da_framework.core.errors import InputError
from da_framework.methods.base import evaluating
from da_framework.networks.domain_norm import convert_domain_batchnorm
from da_framework.networks.mlp import Identity
from da_framework.networks.network import Network
from da_framework.networks.recompute import recompute
from da_framework.training.build import build, compose

IMAGES, SERIES, WORDS = (3, 32, 32), (9, 32), (7,)
TINY = "+network.options={img_size:32,patch_size:8,embed_dim:32,num_heads:2,depth:3}"
NETWORKS: dict[str, tuple[str, tuple[int, ...]]] = {
    "convnet": ("convnet network.bottleneck=[8]", IMAGES),
    "lenet": ("lenet", IMAGES),
    "cnn1d": ("cnn1d", SERIES),
    "resnet18": ("torchvision network.backbone=resnet18 network.size=32", IMAGES),
    "mobilenet": ("torchvision network.backbone=mobilenet_v3_small network.size=32", IMAGES),
    "vit": (f"timm network.backbone=vit_tiny_patch16_224 network.size=32 {TINY}", IMAGES),
    "words": ("text network.width=8 network.layers=3 network.heads=2", WORDS),
    "mlp": ("mlp network.backbone.widths=[64,64,64] network.backbone.batch_norm=true", (4,)),
}


def make_network(name: str, **keys: Any) -> Network:
    choices, shape = NETWORKS[name]
    config = compose(*f"network={choices}".split())["network"]
    torch.manual_seed(0)
    network: Network = instantiate(config | keys)(shape, 3, ())
    return network


def trained(network: Network, shape: tuple[int, ...], *, domains: int = 0) -> dict[str, Tensor]:
    """Weights and statistics after two steps, with dropout."""
    if domains:
        network = convert_domain_batchnorm(network, domains)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network.train()
    for step in range(2):
        torch.manual_seed(step)
        x = torch.randn(6, *shape) if shape != WORDS else torch.randint(0, 99, (6, *shape))
        domain = torch.arange(6) % domains if domains else None
        features, logits = network(x, domain)
        optimizer.zero_grad()
        (cross_entropy(logits, torch.arange(6) % 3) + features.square().mean()).backward()
        optimizer.step()
    return network.state_dict()


def equal(first: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert first.keys() == two.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, two[name]), name


def kept(network: Network, shape: tuple[int, ...]) -> int:
    """Bytes that a forward pass keeps for the backward one, less the weights."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    sizes: dict[int, int] = {}
    held = []

    def pack(x: Tensor) -> Tensor:
        held.append(x)  # or another may be where it was
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return x

    x = torch.randn(6, *shape) if shape != WORDS else torch.randint(0, 99, (6, *shape))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        network.train()(x)
    return sum(sizes.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_training_is_the_same_and_less_is_kept(name: str) -> None:
    if name == "vit":
        pytest.importorskip("timm")
    if name == "words":
        pytest.importorskip("transformers")
    shape = NETWORKS[name][1]
    plain, again = make_network(name), make_network(name, recompute=True)
    assert kept(again, shape) < 0.75 * kept(plain, shape)
    plain, again = make_network(name), make_network(name, recompute=True)
    equal(trained(again, shape), trained(plain, shape))


@pytest.mark.parametrize("name", ["convnet", "resnet18"])
def test_statistics_of_each_domain_are_its_own_and_taken_once(name: str) -> None:
    plain, again = make_network(name), make_network(name, recompute=True)
    equal(trained(again, IMAGES, domains=2), trained(plain, IMAGES, domains=2))


def test_a_gradient_may_be_asked_for_twice() -> None:
    states: list[dict[str, Any]] = []
    for network in (make_network("convnet"), make_network("convnet", recompute=True)):
        torch.manual_seed(1)
        x = torch.randn(4, *IMAGES, requires_grad=True)
        loss = network.train()(x)[1].square().sum()
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        torch.autograd.backward(first.square().sum(), retain_graph=True)
        torch.autograd.backward(loss)
        states.append(
            {"x": x.grad, **{n: p.grad for n, p in network.named_parameters()}}
            | dict(network.named_buffers())
        )
    equal(*states)


def test_a_pass_in_evaluation_is_repeated_as_one() -> None:
    gradients = []
    for network in (
        make_network("convnet").train(),
        make_network("convnet", recompute=True).train(),
    ):
        torch.manual_seed(1)
        x = torch.randn(4, *IMAGES)
        network(x)
        with evaluating(network):
            loss = network(x)[1].square().sum()
        torch.autograd.backward(loss)
        assert all(module.training for module in network.modules())
        gradients.append({n: p.grad for n, p in network.named_parameters() if p.grad is not None})
    equal(gradients[0], gradients[1])


def test_a_copy_calls_its_own_layers() -> None:
    network = make_network("resnet18", recompute=True).eval()
    other = deepcopy(network)
    x = torch.randn(2, *IMAGES)
    expected = network(x)[0].detach()
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    torch.testing.assert_close(other(x)[0], expected, rtol=0, atol=0)


def test_what_cannot_be_computed_again_is_said() -> None:
    with pytest.raises(InputError, match="no blocks or rows of layers"):
        make_network("mlp", recompute=True, backbone=Identity)
    with pytest.raises(InputError, match="of a frozen backbone nothing is kept"):
        make_network("convnet", recompute=True, freeze="backbone")
    with pytest.raises(InputError, match=r"compile=true and network\.recompute=true: one"):
        build(compose("dataset=digits", "network.recompute=true", "compile=true"))
    block = nn.Sequential(nn.SiLU(inplace=True), nn.Linear(2, 2))
    recompute(nn.Sequential(block), [block])
    with pytest.raises(InputError, match="changes its input in place"):
        block(torch.randn(3, 2, requires_grad=True) * 1)
