"""RoTTA: a memory that is balanced, statistics that follow, a teacher."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from da_framework.datasets.augmentations import Jitter
from da_framework.networks.stream_norm import RobustNorm
from da_framework.stream_methods.frozen import Source
from da_framework.stream_methods.rotta import FREE, RoTTA
from tests.stream_methods.models import Open, batches, run, sgd
from tests.stream_methods.models import small_model as model


def rotta(**keys: Any) -> RoTTA:
    given: dict[str, Any] = {
        "optimizer": sgd(0.5), "view": Jitter(noise=0.0, drop=0.0), "capacity": 6, "every": 4,
        "alpha": 0.05, "keep": 0.9, "timeliness": 1.0, "uncertainty": 1.0,
    }  # fmt: skip
    return RoTTA(keys.pop("model", None) or model(), **(given | keys))


def offer(method: RoTTA, *labels: int, entropy: float = 0.5) -> None:
    for label in labels:
        method.offer(torch.full((6,), float(label)).double(), label, entropy)


def held(method: RoTTA) -> list[int]:
    return sorted(int(label) for label in method.label if label != FREE)


def test_a_class_has_its_share_of_places() -> None:
    method = rotta()
    offer(method, 0, 0, 0, 0)
    assert held(method) == [0, 0]  # of six places and three classes
    offer(method, 1, 2, 1, 2)
    assert held(method) == [0, 0, 1, 1, 2, 2]


def test_the_oldest_and_least_sure_gives_its_place_up() -> None:
    method = rotta()
    offer(method, 0, 0)
    offer(method, 0, entropy=0.5)  # as sure, and younger
    assert method.age[method.label == 0].tolist().count(3.0) == 0
    offer(method, 0, entropy=math.log(3))  # very unsure: it is not taken
    assert method.entropy[method.label == 0].tolist() == [0.5, 0.5]
    offer(method, 0, entropy=0.0)
    assert sorted(method.entropy[method.label == 0].tolist()) == [0.0, 0.5]


def test_scores_are_the_paper_s() -> None:
    method = rotta(timeliness=2.0, uncertainty=3.0)
    age, entropy = torch.tensor([0.0, 6.0]).double(), torch.tensor([0.0, math.log(3)]).double()
    expected = torch.tensor([2 / 2 + 0, 2 / (1 + math.exp(-1)) + 3]).double()
    assert_close(method.scores(age, entropy), expected)


def test_without_a_free_place_one_of_the_largest_classes_goes() -> None:
    method = rotta(capacity=4)  # 4/3 places a class: two
    offer(method, 0, 0, 1, 1)
    offer(method, 2)
    assert held(method) in ([0, 1, 1, 2], [0, 0, 1, 2])
    assert 2 in held(method)


def test_statistics_follow_a_little_at_a_time() -> None:
    norm = nn.BatchNorm1d(3).double()
    norm.running_mean, norm.running_var = torch.randn(3).double(), torch.rand(3).double() + 1
    robust = RobustNorm(norm.eval(), 0.25)
    x = torch.randn(7, 3).double()
    assert_close(robust(x), norm(x))
    mean = 0.75 * norm.running_mean + 0.25 * x.mean(0)
    var = 0.75 * norm.running_var + 0.25 * x.var(0, correction=0)
    robust.training = True
    assert_close(robust(x), (x - mean) / (var + norm.eps).sqrt())
    assert_close(robust.mean, mean)
    assert_close(robust.var, var)
    robust.training = False
    assert_close(robust(x), (x - mean) / (var + norm.eps).sqrt())


def test_before_the_first_step_it_is_the_source_model() -> None:
    given = batches()
    expected = run(Source(model()), given)
    assert_close(run(rotta(every=1000), given), expected)
    first = run(rotta(every=16), given)
    assert_close(first[:16], expected[:16])
    assert not torch.allclose(first[16:], expected[16:])


@pytest.mark.parametrize("keep", [0.0, 0.9])
def test_the_teacher_follows_the_student(keep: float) -> None:
    method = rotta(keep=keep, every=16)
    begun = [weight.detach().clone() for weight in method.teacher.module.parameters()]
    run(method, batches(1))
    for slow, before, fast in zip(
        method.teacher.module.parameters(), begun, method.model.parameters(), strict=True
    ):
        assert_close(slow, keep * before + (1 - keep) * fast.detach())


def test_old_samples_count_less() -> None:
    """The weight of a sample of age a in units of the memory is 1 / (1 + e^a)."""
    method = rotta(every=1000, optimizer=sgd(1.0))
    run(method, batches(1))
    losses: list[torch.Tensor] = []
    method.descend = lambda loss: losses.append(loss.detach())  # type: ignore[method-assign]
    place = method.label != FREE
    weights = 1 / (1 + torch.exp(method.age[place] / 6))
    norms = [m for m in method.modules() if isinstance(m, RobustNorm)]
    for norm in norms:
        norm.alpha = 0.0  # the statistics stay
    x = method.inputs[place]
    taught, own = method.predict(x), method.logits(x).softmax(1).detach()
    method.learn()
    expected = (weights * -(taught * own.log()).sum(1)).mean()
    assert_close(losses[0], expected)


def test_the_unknown_has_places_as_well() -> None:
    method = rotta(model=Open(model().network), capacity=8)
    run(method, batches())
    assert {*held(method)} <= {0, 1, 2, 3}
    assert 3 in held(method)
