from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from da_framework.networks.frozen import Averaged, Frozen

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


def module(seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(dropout), nn.Linear(4, 2))


def learn(trained: nn.Module) -> None:
    """One step, which moves weights and statistics."""
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.5)
    trained(X).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("kind", [Frozen, Averaged])
def test_is_the_module_as_it_was_whatever_that_learns(kind: type[Frozen]) -> None:
    tested = module()
    before = deepcopy(tested).eval()
    copy = kind(tested)
    learn(tested)
    assert torch.equal(copy(X), before(X))
    assert not torch.equal(copy(X), tested.eval()(X))


@pytest.mark.parametrize("kind", [Frozen, Averaged])
def test_no_training_reaches_it(kind: type[Frozen]) -> None:
    owner = nn.ModuleDict({"copy": kind(module(dropout=0.5)), "other": module()})
    owner.train()
    copy = owner["copy"]
    assert not any(part.training for part in copy.modules())
    assert not any(p.requires_grad for p in copy.parameters())
    state = deepcopy(copy.state_dict())
    x = X.clone().requires_grad_()
    assert torch.equal(copy(x), copy(x)), "no dropout"
    assert not copy(x).requires_grad
    assert_close(copy.state_dict(), state, rtol=0, atol=0)


def test_the_module_itself_goes_on_as_before() -> None:
    tested = module().train()
    Frozen(tested)
    assert all(part.training for part in tested.modules())
    assert all(p.requires_grad for p in tested.parameters())


def test_takes_several_inputs_and_gives_what_the_module_gives() -> None:
    copy = Frozen(nn.Bilinear(3, 3, 2))
    assert_close(copy(X, 2 * X), copy.module(X, 2 * X).detach())


def test_is_kept_in_the_state() -> None:
    copy, other = Frozen(module()), Frozen(module(seed=1))
    other.load_state_dict(copy.state_dict())
    assert torch.equal(other(X), copy(X))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99, 1.0])
def test_the_average_is_the_formula_s_over_several_steps(keep: float) -> None:
    tested = module().double()
    average = Averaged(tested)
    expected: list[Tensor] = [p.detach().clone() for p in tested.parameters()]
    for _ in range(3):
        for p in tested.parameters():
            p.data += torch.randn(p.shape, dtype=p.dtype)
        average.follow(tested, keep=keep)
        now = zip(expected, tested.parameters(), strict=True)
        expected = [keep * old + (1 - keep) * new.detach() for old, new in now]
    assert_close(list(average.module.parameters()), expected)
    assert not any(p.requires_grad for p in average.parameters())


def test_buffers_are_copied_not_averaged() -> None:
    tested = module()
    average = Averaged(tested)
    learn(tested)
    average.follow(tested, keep=0.9)
    assert tested[1].num_batches_tracked == 1
    for buffer, other in zip(average.module.buffers(), tested.buffers(), strict=True):
        assert torch.equal(buffer, other)
        assert buffer.data_ptr() != other.data_ptr()


def test_following_leaves_the_module_as_it_is() -> None:
    tested = module()
    average = Averaged(module(seed=1))
    before = deepcopy(tested.state_dict())
    average.follow(tested, keep=0.5)
    assert_close(tested.state_dict(), before, rtol=0, atol=0)
