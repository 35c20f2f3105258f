from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.core.schedules import Constant
from da_framework.training.module import Adaptation
from da_framework.training.optimizers import Optimizer, adadelta, adagrad, adam, adamw, sgd


class Toy(nn.Module):
    """Parameters named as a method's are."""

    def __init__(self) -> None:
        super().__init__()
        encoder = nn.ModuleDict({"backbone": nn.Linear(2, 3), "bottleneck": nn.Linear(3, 2)})
        self.network = nn.ModuleDict({"encoder": encoder, "head": nn.Linear(2, 2)})
        self.discriminator = nn.Linear(2, 1)


def plain(**keys: Any) -> Optimizer:
    given = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False}
    return sgd(**(given | keys))


def rates(optimizer: Optimizer, method: nn.Module) -> dict[str, float]:
    names = {parameter: name for name, parameter in method.named_parameters()}
    built = optimizer.build(method, "model", [method])
    return {names[p]: group["initial_lr"] for group in built.param_groups for p in group["params"]}


def step(optimizer: Optimizer, built: torch.optim.Optimizer, rate: float = 1.0) -> None:
    """As the trainer does it."""
    parameters = [p for group in built.param_groups for p in group["params"]]
    module = SimpleNamespace(
        trainer=SimpleNamespace(precision_plugin=None),
        scheduler=Constant(rate),
        method=SimpleNamespace(progress=0.0),
        optimizer=optimizer,
        parts={"model": (built, parameters)},
    )
    Adaptation.step_parts(cast(Any, module), ("model",))


def weight(*values: float) -> tuple[nn.Module, nn.Parameter]:
    method = nn.Module()
    method.w = nn.Parameter(torch.tensor(values, dtype=torch.float64))
    return method, method.w


def test_the_longest_prefix_counts() -> None:
    factor = {
        "network": 0.5,
        "network.encoder.backbone": 0.0,
        "network.encoder": 0.2,
        "network.head.bias": 3.0,
    }
    assert rates(plain(factor=factor), Toy()) == pytest.approx(
        {
            "network.encoder.backbone.weight": 0.0,
            "network.encoder.backbone.bias": 0.0,
            "network.encoder.bottleneck.weight": 0.02,
            "network.encoder.bottleneck.bias": 0.02,
            "network.head.weight": 0.05,
            "network.head.bias": 0.3,
            "discriminator.weight": 0.1,
            "discriminator.bias": 0.1,
        }
    )


def test_a_prefix_ends_at_a_dot() -> None:
    method = nn.ModuleDict({"head": nn.Linear(1, 1), "head2": nn.Linear(1, 1)})
    assert rates(plain(factor={"head": 10.0}), method) == pytest.approx(
        {"head.weight": 1.0, "head.bias": 1.0, "head2.weight": 0.1, "head2.bias": 0.1}
    )


def test_each_trainable_parameter_of_the_part_is_optimised_once() -> None:
    method = Toy()
    method.network["head"].requires_grad_(False)
    built = plain().build(method, "model", [method.network, method.network])
    parameters = [p for group in built.param_groups for p in group["params"]]
    encoder = method.network["encoder"].parameters()
    assert {id(p) for p in parameters} == {id(p) for p in encoder}
    assert len(parameters) == 4


@pytest.mark.parametrize(
    ("prefix", "near"),
    [
        ("network.encoder.backbon", r"network\.encoder\.backbone"),
        ("encoder", r"network\.encoder"),
        ("network.encoder.back", r"network\.encoder\.backbone"),
        ("descriminator", "discriminator"),
    ],
)
def test_an_unknown_prefix_is_refused_with_the_nearest(prefix: str, near: str) -> None:
    with pytest.raises(InputError, match=rf"begins with '{prefix}'; nearest: .*{near}\b"):
        plain(factor={prefix: 0.1}).check(Toy())


def test_known_prefixes_pass() -> None:
    plain(factor={"network": 0.1, "network.head.weight": 2.0}).check(Toy())
    plain().check(Toy())


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_formula(nesterov: bool) -> None:
    lr, momentum, decay, factor, rate = 0.1, 0.9, 0.01, 0.5, 0.3
    method, w = weight(1.0, -2.0)
    optimizer = plain(
        momentum=momentum, weight_decay=decay, nesterov=nesterov, factor={"w": factor}
    )
    built = optimizer.build(method, "model", [method])
    expected, velocity = w.detach().clone(), torch.zeros(2).double()
    for gradient in (torch.tensor([3.0, 4.0]), torch.tensor([-1.0, 0.5]), torch.tensor([0.0, 2.0])):
        w.grad = gradient.double()
        descent = gradient.double() + decay * expected
        velocity = momentum * velocity + descent
        move = descent + momentum * velocity if nesterov else velocity
        expected = expected - lr * factor * rate * move
        step(optimizer, built, rate)
        assert_close(w.detach(), expected)


@pytest.mark.parametrize("apart", [True, False], ids=["adamw", "adam"])
def test_adam_is_its_formula_with_its_decay(apart: bool) -> None:
    lr, decay, first, second = 0.01, 0.1, 0.9, 0.99
    method, w = weight(1.0, -2.0)
    optimizer = (adamw if apart else adam)(lr=lr, betas=[first, second], weight_decay=decay)
    built = optimizer.build(method, "model", [method])
    expected = w.detach().clone()
    mean, square = torch.zeros(2).double(), torch.zeros(2).double()
    for t, gradient in enumerate(([3.0, -0.5], [-1.0, 0.5]), start=1):
        w.grad = torch.tensor(gradient).double()
        g = w.grad if apart else w.grad + decay * expected
        mean = first * mean + (1 - first) * g
        square = second * square + (1 - second) * g**2
        move = (mean / (1 - first**t)) / ((square / (1 - second**t)).sqrt() + 1e-8)
        expected = expected * (1 - lr * decay * apart) - lr * move
        step(optimizer, built)
        assert_close(w.detach(), expected)


def test_adagrad_is_its_formula_with_its_decays() -> None:
    lr, slowing, decay = 0.1, 0.5, 0.2
    method, w = weight(1.0, -2.0)
    optimizer = adagrad(lr=lr, lr_decay=slowing, weight_decay=decay)
    built = optimizer.build(method, "model", [method])
    expected, squares = w.detach().clone(), torch.zeros(2).double()
    for t, gradient in enumerate(([3.0, -0.5], [-1.0, 0.5], [0.0, 2.0])):
        w.grad = torch.tensor(gradient).double()
        g = w.grad + decay * expected
        squares = squares + g**2
        expected = expected - lr / (1 + slowing * t) * g / (squares.sqrt() + 1e-10)
        step(optimizer, built)
        assert_close(w.detach(), expected)


def test_adadelta_is_its_formula_with_its_decays() -> None:
    lr, rho, decay = 0.5, 0.8, 0.2
    method, w = weight(1.0, -2.0)
    optimizer = adadelta(lr=lr, rho=rho, weight_decay=decay)
    built = optimizer.build(method, "model", [method])
    expected, squares, steps = w.detach().clone(), torch.zeros(2).double(), torch.zeros(2).double()
    for gradient in ([3.0, -0.5], [-1.0, 0.5], [0.0, 2.0]):
        w.grad = torch.tensor(gradient).double()
        g = w.grad + decay * expected
        squares = rho * squares + (1 - rho) * g**2
        change = ((steps + 1e-6) / (squares + 1e-6)).sqrt() * g
        steps = rho * steps + (1 - rho) * change**2
        expected = expected - lr * change
        step(optimizer, built)
        assert_close(w.detach(), expected)


def moved(clip: float | None) -> Tensor:
    method, w = weight(0.0, 0.0)
    optimizer = plain(lr=1.0, clip=clip)
    built = optimizer.build(method, "model", [method])
    w.grad = torch.tensor([3.0, 4.0]).double()
    step(optimizer, built)
    return -w.detach()


def test_a_larger_gradient_is_clipped_to_its_direction() -> None:
    assert_close(moved(clip=1.0), torch.tensor([0.6, 0.8]).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("clip", [None, 6.0])
def test_a_smaller_gradient_or_no_limit_clips_nothing(clip: float | None) -> None:
    assert torch.equal(moved(clip), torch.tensor([3.0, 4.0]).double())
