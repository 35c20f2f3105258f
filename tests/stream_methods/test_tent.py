"""Entropy minimisation, batch norm's statistics and the source model: equalities."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.losses.entropy import entropy
from da_framework.networks.domain_norm import convert_domain_batchnorm
from da_framework.networks.stream_norm import StreamNorm, affine_parameters
from da_framework.stream_methods.base import StreamMethod
from da_framework.stream_methods.bn_statistics import BNStatistics
from da_framework.stream_methods.frozen import Source
from da_framework.stream_methods.tent import Tent
from tests.stream_methods.models import Model, adam, batches, image_model, images, run, sgd
from tests.stream_methods.models import small_model as model


def test_the_source_is_the_model_whatever_the_batches() -> None:
    whole = torch.cat(batches())
    expected = model()(whole)[1].softmax(1)
    for size in (1, 5, 64):
        assert_close(run(Source(model()), list(torch.split(whole, size))), expected)


@pytest.mark.parametrize("prior", [0.0, 16.0])
def test_at_rate_0_it_is_batch_norm_statistics(prior: float) -> None:
    for make in (sgd(0.0, momentum=0.9), adam(0.0)):
        tent = Tent(model(), optimizer=make, prior=prior)
        expected = run(BNStatistics(model(), prior=prior), batches())
        assert torch.equal(run(tent, batches()), expected)


def test_the_whole_target_as_one_batch_has_adabn_s_statistics() -> None:
    """AdaBN's domain-specific batch norm, followed over one batch with all its weight."""
    whole = torch.cat(batches())
    network = convert_domain_batchnorm(model().network, 2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0
        module.training = isinstance(module, nn.BatchNorm1d)
    network(whole, torch.ones(len(whole), dtype=torch.long))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d) and module.running_var is not None:
            module.running_var *= (len(whole) - 1) / len(whole)  # torch follows the unbiased one
    _, adapted = network.eval()(whole, torch.ones(len(whole), dtype=torch.long))
    assert_close(run(BNStatistics(model(), prior=0.0), [whole]), adapted.softmax(1))


def test_statistics_are_mixed_by_the_numbers_of_samples() -> None:
    norm = nn.BatchNorm2d(3).double().eval()
    norm.running_mean, norm.running_var = torch.randn(3).double(), torch.rand(3).double() + 0.5
    nn.init.normal_(norm.weight)
    x = torch.randn(4, 3, 5, 5).double()
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    for prior in (0.0, 1.0, 16.0):
        mu = (prior * norm.running_mean + 4 * mean) / (prior + 4)
        sigma = (prior * norm.running_var + 4 * var) / (prior + 4)
        shape = (1, 3, 1, 1)
        expected = (x - mu.view(shape)) / (sigma.view(shape) + norm.eps).sqrt()
        expected = expected * norm.weight.view(shape) + norm.bias.view(shape)
        assert_close(StreamNorm(norm, prior)(x), expected)
    assert_close(StreamNorm(norm, 1e12)(x), norm(x))


def test_gradients_go_through_mixed_statistics() -> None:
    norm = StreamNorm(nn.BatchNorm1d(2).double(), 3.0)
    x = torch.randn(4, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(norm, (x,))


def test_one_value_a_channel_has_training_s_statistics() -> None:
    x = batches(1, 1)[0]
    assert_close(run(BNStatistics(model(), prior=0.0), [x]), model()(x)[1].softmax(1))


def test_it_is_a_loop_by_hand() -> None:
    own = model()
    norms = [m for m in own.network.modules() if isinstance(m, nn.BatchNorm1d)]
    for norm in norms:
        norm.train()
    trained = [p for norm in norms for p in (norm.weight, norm.bias)]
    expected = []
    for x in batches():
        logits = own(x)[1]
        expected.append(logits.softmax(1).detach())
        gradients = torch.autograd.grad(entropy(logits), trained)
        with torch.no_grad():
            for parameter, gradient in zip(trained, gradients, strict=True):
                parameter.sub_(gradient, alpha=0.5)
    tent = Tent(model(), optimizer=sgd(0.5), prior=0.0)
    assert_close(run(tent, batches()), torch.cat(expected))
    for ours, theirs in zip(tent.trained, trained, strict=True):
        assert_close(ours, theirs)


def test_scales_and_shifts_alone_are_trained() -> None:
    tent = Tent(model(), optimizer=sgd(0.5), prior=0.0)
    before = {name: value.clone() for name, value in tent.named_parameters()}
    run(tent, batches())
    moved = {name for name, value in tent.named_parameters() if not value.equal(before[name])}
    places = {id(p): name for name, p in tent.named_parameters()}
    assert moved == {places[id(p)] for p in affine_parameters(tent.network)}
    assert len(moved) == 2


def test_reset_forgets_everything() -> None:
    tent = Tent(model(), optimizer=adam(0.1), prior=0.0)
    first = run(tent, batches())
    assert not run(tent, batches()).equal(first)  # it goes on from what it has learnt
    tent = Tent(model(), optimizer=adam(0.1), prior=0.0)
    run(tent, batches())
    tent.reset()
    assert torch.equal(torch.cat([tent.predict_then_adapt(x) for x in batches()]), first)


@pytest.mark.parametrize("split", [1, 3])
def test_a_state_is_all_that_it_goes_on_from(split: int) -> None:
    def make() -> Tent:
        return Tent(model(), optimizer=adam(0.1), prior=0.0)

    whole = run(make(), batches())
    begun = make()
    first = run(begun, batches()[:split])
    other = make()
    other.remember()
    other.load_state(begun.state())
    rest = torch.cat([other.predict_then_adapt(x) for x in batches()[split:]])
    assert torch.equal(torch.cat([first, rest]), whole)


def test_statistics_do_not_depend_on_the_order_of_batches_or_samples() -> None:
    given = batches()
    forward = [BNStatistics(model(), prior=0.0).predict_then_adapt(x) for x in given]
    backward = torch.split(run(BNStatistics(model(), prior=0.0), given[::-1]), 16)[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert torch.equal(one, other)
    turned = BNStatistics(model(), prior=0.0).predict_then_adapt(given[0].flip(0))
    assert_close(turned.flip(0), forward[0])


def test_images_of_bytes_are_taken() -> None:
    for method in (Source(image_model()), Tent(image_model(), optimizer=adam(0.1), prior=0.0)):
        shares = run(method, images())
        assert_close(shares.sum(1), torch.ones(18))


def test_a_network_without_batch_norm_is_refused() -> None:
    with pytest.raises(InputError, match="the run's network has none"):
        Tent(model(batch_norm=False), optimizer=sgd(0.1), prior=0.0)


def test_a_method_is_given_a_model_in_evaluation_mode() -> None:
    own: Model = model()
    own.train()
    method: StreamMethod = Source(own)
    assert not any(part.training for part in method.model.modules())
    assert not any(p.requires_grad for p in method.parameters())
