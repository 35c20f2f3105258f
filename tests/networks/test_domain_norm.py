from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from da_framework.networks.domain_norm import DomainNorm, convert_domain_batchnorm


class Reader(nn.Sequential):
    """Takes the rows' domains as networks do, and needs them for nothing."""

    def forward(self, x: Tensor, domain: Tensor | None = None) -> Tensor:
        normalised: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return normalised


DOMAIN = torch.tensor([0, 2, 0, 2, 2, 0, 0, 2])


def inputs(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, *shape, dtype=torch.float64, generator=generator)
    return x * (1 + DOMAIN.view(-1, *[1] * len(shape))) + DOMAIN.view(-1, *[1] * len(shape))


def norm() -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(3).double()
    nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(1))
    nn.init.normal_(norm.bias, generator=torch.Generator().manual_seed(2))
    return norm


def normed(domains: int = 3) -> Any:
    return convert_domain_batchnorm(Reader(norm()), domains)


def test_every_domain_is_normed_as_if_it_were_alone() -> None:
    plain, network = norm(), normed()
    x = inputs(3)
    actual = network(x, DOMAIN)
    for number in (0, 2):
        alone = deepcopy(plain)
        assert_close(actual[DOMAIN.eq(number)], alone(x[DOMAIN.eq(number)]))
        assert_close(network[0].norms[number].state_dict(), alone.state_dict())
    assert_close(network[0].norms[1].state_dict(), plain.state_dict())  # it had no rows


def test_evaluation_uses_each_row_s_own_statistics_and_moves_none() -> None:
    network = normed()
    for seed in range(5):
        network(inputs(3, seed=seed), DOMAIN)
    before = deepcopy(network.eval().state_dict())
    x = inputs(3, seed=9)
    actual = network(x, DOMAIN)
    for row, domain in enumerate(DOMAIN.tolist()):
        norm = network[0].norms[domain]
        expected = (x[row] - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        assert_close(actual[row], expected * norm.weight + norm.bias)
    assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert not torch.equal(network[0].norms[0].running_mean, network[0].norms[2].running_mean)


def test_no_domain_means_the_last() -> None:
    network = normed()
    network(inputs(3), DOMAIN)
    x = inputs(3, seed=1)
    everywhere = network.eval()(x, torch.full((8,), 2))
    assert_close(network(x), everywhere)
    assert_close(network(x, None), everywhere)


def test_scale_and_shift_are_one_for_all_and_learn_from_all() -> None:
    plain, network = norm(), normed()
    x, weights = inputs(3), inputs(3, seed=1)
    names = [name for name, _ in network.named_parameters()]
    assert names == ["0.norms.0.weight", "0.norms.0.bias"]
    derived = torch.autograd.grad((weights * network(x, DOMAIN)).sum(), list(network.parameters()))
    rows = [DOMAIN.eq(number) for number in (0, 2)]
    expected = [
        torch.autograd.grad((weights[own] * plain(x[own])).sum(), list(plain.parameters()))
        for own in rows
    ]
    assert_close(derived, tuple(a + b for a, b in zip(*expected, strict=True)))


@pytest.mark.parametrize("change", [deepcopy, nn.Module.double, nn.Module.float])
def test_they_stay_one_when_the_network_is_copied_or_cast(change: object) -> None:
    network = change(normed())  # type: ignore[operator]
    first, *others = network[0].norms
    assert all(own.weight is first.weight and own.bias is first.bias for own in others)


def test_the_gradient_of_a_row_stays_in_its_domain() -> None:
    network, x = normed(), inputs(3).requires_grad_()
    (gradient,) = torch.autograd.grad(network(x, DOMAIN)[0].square().sum(), x)
    assert gradient[DOMAIN.eq(0)].any(1).all()
    assert not gradient[DOMAIN.eq(2)].any()


def test_with_one_domain_it_is_the_network_as_it_was() -> None:
    plain = Reader(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU()).double()
    network: Any = convert_domain_batchnorm(deepcopy(plain), 1)
    x = inputs(3)
    assert_close(network(x, torch.zeros(8).long()), plain(x))
    assert_close(network[1].norms[0].state_dict(), plain[1].state_dict())


def test_finds_every_batch_norm_however_deep_and_nothing_else() -> None:
    inner = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten())
    plain = Reader(nn.Sequential(inner), nn.BatchNorm1d(8), nn.LayerNorm(8)).double()
    network = convert_domain_batchnorm(deepcopy(plain), 2)
    kinds = [type(m) for m in network.modules() if isinstance(m, DomainNorm | nn.LayerNorm)]
    assert kinds == [DomainNorm, DomainNorm, nn.LayerNorm]
    x, first = inputs(1, 2, 2), DOMAIN.eq(0)
    actual = network(x, first.long())
    for rows in (first, ~first):
        assert_close(actual[rows], plain(x[rows]))


def test_forgets_the_domains_after_the_pass() -> None:
    network = normed()
    network(inputs(3), DOMAIN)
    assert network[0].domain is None


def test_statistics_are_kept_in_the_state() -> None:
    network, other = normed(), normed()
    network(inputs(3), DOMAIN)
    other.load_state_dict(network.state_dict())
    x = inputs(3, seed=1)
    assert_close(other.eval()(x, DOMAIN), network.eval()(x, DOMAIN))
