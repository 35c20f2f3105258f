"""SAR: TENT on reliable samples at the sharpest point near by, with recovery."""

import math
from typing import Any

import torch
from torch.testing import assert_close

from da_framework.losses.entropy import row_entropy
from da_framework.stream_methods.sar import SAR
from da_framework.stream_methods.tent import Tent
from tests.stream_methods.models import CLASSES, batches, run, sgd
from tests.stream_methods.models import small_model as model


def sar(**keys: Any) -> SAR:
    given: dict[str, Any] = {
        "optimizer": sgd(0.3, momentum=0.9), "prior": 0.0, "margin": 0.9, "radius": 0.0,
        "momentum": 0.9, "recover_below": 0.0,
    }  # fmt: skip
    return SAR(model(), **(given | keys))


def test_at_radius_0_it_is_tent_with_its_filter() -> None:
    tent = Tent(model(), optimizer=sgd(0.3, momentum=0.9), prior=0.0)
    expected = []
    for x in batches():
        logits = tent.logits(x)
        entropies = row_entropy(logits)
        kept = entropies.detach() < 0.9 * math.log(CLASSES)
        assert kept.any()
        assert not kept.all()
        expected.append(logits.detach().softmax(1))
        tent.descend(entropies[kept].mean())
    assert_close(run(sar(), batches()), torch.cat(expected))


def test_at_radius_0_without_its_filter_it_is_tent() -> None:
    tent = Tent(model(), optimizer=sgd(0.3, momentum=0.9), prior=0.0)
    assert_close(run(sar(margin=None), batches()), run(tent, batches()))


def test_the_gradient_is_that_at_the_sharpest_point() -> None:
    (x,), other = batches(1), Tent(model(), optimizer=sgd(0.3), prior=0.0)
    begun = [weight.detach().clone() for weight in other.trained]
    gradients = torch.autograd.grad(row_entropy(other.logits(x)).mean(), other.trained)
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
    with torch.no_grad():
        for weight, gradient in zip(other.trained, gradients, strict=True):
            weight.add_(gradient, alpha=0.2 / norm)
    above = torch.autograd.grad(row_entropy(other.logits(x)).mean(), other.trained)
    method = sar(margin=None, radius=0.2, optimizer=sgd(0.3))
    run(method, [x])
    for weight, before, gradient in zip(method.trained, begun, above, strict=True):
        assert_close(weight.detach(), before - 0.3 * gradient)


def test_it_recovers_where_the_entropy_is_too_little() -> None:
    method = sar(recover_below=10.0)  # which every entropy is
    begun = [weight.detach().clone() for weight in method.trained]
    run(method, batches())
    assert method.recoveries == 4
    assert float(method.average) == -1
    assert all(torch.equal(a, b) for a, b in zip(method.trained, begun, strict=True))
    never = sar(recover_below=0.0)
    run(never, batches())
    assert never.recoveries == 0
    assert 0 <= float(never.average) <= math.log(CLASSES)


def test_where_no_sample_passes_nothing_is_learnt() -> None:
    method = sar(margin=1e-9)
    begun = [weight.detach().clone() for weight in method.trained]
    run(method, batches())
    assert all(torch.equal(a, b) for a, b in zip(method.trained, begun, strict=True))


def test_the_average_is_of_the_entropy_at_the_sharpest_point() -> None:
    method = sar(margin=None)
    entropies = []
    follow = method.follow
    method.follow = lambda value: (entropies.append(float(value)), follow(value))[1]  # type: ignore
    run(method, batches(3))
    expected = entropies[0]
    for value in entropies[1:]:
        expected = 0.9 * expected + 0.1 * value
    assert_close(float(method.average), expected)
