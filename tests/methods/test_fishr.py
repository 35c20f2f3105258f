from functools import partial
from typing import Any

import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods.fishr import Fishr
from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network


def variances(method: Any, batch: Any, head: Any) -> list[torch.Tensor]:
    """Of each source, from the gradients of single samples in the last layer."""
    source = batch["source"]
    features, _ = method.network(source.x)
    *hidden, last = head
    for layer in hidden:
        features = layer(features)
    weights = {name: p.detach() for name, p in last.named_parameters()}

    def loss(own: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(functional_call(last, own, (x[None],)), y[None])

    each = vmap(grad(loss), in_dims=(None, 0, 0))(weights, features, source.y)
    flat = torch.cat([each["weight"].flatten(1), each["bias"]], dim=1)
    numbers = source.domain.unique()
    return [flat[source.domain == number].var(0, correction=0) for number in numbers]


def test_the_penalty_is_the_distance_of_the_variances_of_single_gradients(tiny: Any) -> None:
    method, batch = tiny.method(Fishr, domains=4, weight=0.7), tiny.batch("source", domains=4)
    (objective,) = method.objectives(batch)
    each = torch.stack(variances(method, batch, method.network.head))
    expected = (each - each.mean(0)).square().sum(1).mean()
    assert expected > 1e-6
    assert_close(objective.terms["penalty"].value, expected)


def test_of_a_deep_head_it_is_the_last_layer(tiny: Any) -> None:
    torch.manual_seed(0)
    backbone = partial(MLP, widths=[5], dropout=0.0)
    keys: dict[str, Any] = {"bottleneck": [4], "head": [6], "dropout": 0.0}
    network = Network((2,), 3, backbone=backbone, **keys).double()
    method = tiny.method(Fishr, network=network, domains=3, weight=0.7)
    batch = tiny.batch("source", domains=3)
    (objective,) = method.objectives(batch)
    each = torch.stack(variances(method, batch, network.head))
    assert each.shape[1] == 3 * 7
    assert_close(objective.terms["penalty"].value, (each - each.mean(0)).square().sum(1).mean())
