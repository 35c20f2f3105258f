"""MEMO: one step a sample, of which nothing stays."""

from typing import Any

import torch
from torch.testing import assert_close

from da_framework.datasets.augmentations import Jitter
from da_framework.stream_methods.base import augment
from da_framework.stream_methods.memo import MEMO
from tests.stream_methods.models import batches, run, sgd
from tests.stream_methods.models import small_model as model

NOISY = Jitter(noise=0.5, drop=0.0)


def memo(**keys: Any) -> MEMO:
    given: dict[str, Any] = {"optimizer": sgd(0.5), "view": NOISY, "views": 4, "average": False}
    return MEMO(model(), **(given | keys))


def test_at_rate_0_it_is_marginal_averaging() -> None:
    (x,) = batches(1)
    given = run(memo(optimizer=sgd(0.0), average=True), [x])
    own, expected = model(), []
    torch.manual_seed(0)
    for sample in x:
        views = augment(NOISY, sample[None].repeat(4, 1))
        expected.append(own(views)[1].softmax(1).mean(0))
    assert_close(given, torch.stack(expected).detach())


def test_at_rate_0_a_sample_s_own_prediction_is_the_source_model_s() -> None:
    (x,) = batches(1)
    assert_close(run(memo(optimizer=sgd(0.0)), [x]), model()(x)[1].softmax(1).detach())


def test_one_step_makes_views_agree_more() -> None:
    (x,) = batches(1, 1)
    own = model()
    torch.manual_seed(0)
    views = augment(NOISY, x.repeat(4, 1))
    trained = list(own.network.parameters())
    loss = torch.special.entr(own(views)[1].softmax(1).mean(0)).sum()
    gradients = torch.autograd.grad(loss, trained)
    with torch.no_grad():
        for weight, gradient in zip(trained, gradients, strict=True):
            weight.sub_(gradient, alpha=0.5)
    assert torch.special.entr(own(views)[1].softmax(1).mean(0)).sum() < loss
    assert_close(run(memo(), [x]), own(x)[1].softmax(1).detach())


def test_nothing_stays() -> None:
    method = memo(optimizer=sgd(0.5, momentum=0.9))
    before = method.state()["module"]
    run(method, batches())
    assert all(torch.equal(v, before[name]) for name, v in method.state()["module"].items())
    assert not method.optimizer.state  # type: ignore[union-attr]


def test_the_order_does_not_matter_with_still_views() -> None:
    still = Jitter(noise=0.0, drop=0.0)
    given = batches()
    forward = run(memo(view=still), given)
    one_by_one = [torch.split(x, 1) for x in reversed(given)]
    backward = run(memo(view=still), [sample for x in one_by_one for sample in reversed(x)])
    assert_close(backward.flip(0), forward)
