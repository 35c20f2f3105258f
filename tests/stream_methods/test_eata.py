"""EATA: TENT on chosen samples, near the source."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.losses.entropy import row_entropy
from da_framework.stream_methods.eata import EATA
from da_framework.stream_methods.tent import Tent
from tests.stream_methods.models import CLASSES, Open, adam, batches, run, sgd
from tests.stream_methods.models import small_model as model

WITHOUT: dict[str, Any] = {
    "margin": None, "redundancy": None, "momentum": 0.9, "fisher": 0.0, "fisher_samples": 100
}  # fmt: skip


def eata(optimizer: Any = None, **keys: Any) -> EATA:
    return EATA(model(), optimizer=optimizer or sgd(0.5), prior=0.0, **(WITHOUT | keys))


@pytest.mark.parametrize("optimizer", [sgd(0.5, momentum=0.9), adam(0.1)])
def test_without_filters_and_fisher_it_is_tent(optimizer: Any) -> None:
    ours, tent = eata(optimizer), Tent(model(), optimizer=optimizer, prior=0.0)
    assert_close(run(ours, batches()), run(tent, batches()))
    for weight, other in zip(ours.trained, tent.trained, strict=True):
        assert_close(weight, other)
    assert not ours.needs_source


def shares_of(entropies: Tensor) -> Tensor:
    """Predictions with these entropies, between none and that of two classes alike."""
    tried = torch.linspace(1e-6, 0.5, 100_001).double()
    both = torch.stack([tried, 1 - tried], 1)
    found = torch.searchsorted(torch.special.entr(both).sum(1), entropies)
    return torch.cat([both[found], torch.zeros(len(entropies), 1)], 1)


def test_samples_with_little_entropy_count_more() -> None:
    method = eata(margin=0.4)
    least = 0.4 * math.log(CLASSES)
    entropies = torch.tensor([0.1, 0.3, least + 0.01, least - 0.01]).double()
    kept, weights = method.choose(shares_of(entropies), entropies)
    assert kept.tolist() == [True, True, False, True]
    assert_close(weights[kept], torch.exp(least - entropies[kept]))


def test_what_is_like_the_mean_is_left_out() -> None:
    method = eata(redundancy=0.5)
    shares = torch.eye(3).double()
    none = torch.zeros(3).double()
    assert method.choose(shares, none)[0].all()  # there is no mean yet
    method.follow(torch.tensor([1.0, 0.0, 0.0]).double())
    assert method.choose(shares, none)[0].tolist() == [False, True, True]
    method.follow(torch.tensor([0.0, 1.0, 0.0]).double())
    assert_close(method.mean, torch.tensor([0.9, 0.1, 0.0]).double())


def test_the_fisher_information_is_that_of_its_own_predictions() -> None:
    method, source = eata(fisher=2.0), torch.cat(batches(8, seed=5))[:100]
    assert method.needs_source
    method.prepare(source)
    expected = [torch.zeros_like(weight) for weight in method.trained]
    for x in (source[:64], source[64:]):
        logits = method.logits(x)
        method.zero_grad()
        cross_entropy(logits, logits.argmax(1)).backward()  # type: ignore[no-untyped-call]
        for total, weight in zip(expected, method.trained, strict=True):
            assert weight.grad is not None
            total += weight.grad**2 / 2
    for ours, theirs in zip(method.importance, expected, strict=True):
        assert_close(ours, theirs)
    assert float(method.distance().detach()) == 0
    with torch.no_grad():
        method.trained[0].add_(3.0)
    assert_close(method.distance().detach(), 9 * expected[0].sum())


def test_a_heavy_anchor_holds_the_weights() -> None:
    source = torch.cat(batches(4, seed=5))
    moved = []
    for fisher in (1e-6, 50.0):
        method = eata(sgd(0.01), fisher=fisher)
        method.prepare(source)
        run(method, batches() * 5)
        pairs = zip(method.trained, method.anchor, strict=True)
        moved.append(sum(float((a - b).detach().norm()) for a, b in pairs))
    assert moved[1] < moved[0]


def test_where_no_sample_passes_nothing_is_learnt() -> None:
    method = eata(margin=1e-9)
    before = [weight.detach().clone() for weight in method.trained]
    run(method, batches())
    assert all(torch.equal(a, b) for a, b in zip(method.trained, before, strict=True))
    assert not method.mean.any()


def test_it_is_a_loop_by_hand() -> None:
    method, other = eata(margin=0.9), Tent(model(), optimizer=sgd(0.5), prior=0.0)
    least = 0.9 * math.log(CLASSES)
    expected = []
    for x in batches():
        logits = other.logits(x)
        entropies = row_entropy(logits)
        kept = entropies.detach() < least
        expected.append(logits.detach().softmax(1))
        if kept.any():
            weights = (least - entropies.detach()).exp()
            other.descend((weights * entropies)[kept].sum() / kept.sum())
    assert_close(run(method, batches()), torch.cat(expected))


def test_the_unknown_is_a_class_as_well() -> None:
    method = EATA(Open(model().network), optimizer=sgd(0.5), prior=0.0, **WITHOUT)
    assert run(method, batches()).shape[1] == CLASSES + 1
    assert_close(method.mean.sum(), torch.tensor(1.0).double())
