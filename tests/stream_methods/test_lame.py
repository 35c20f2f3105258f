"""LAME: an objective that falls, and closed forms."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize
from torch.testing import assert_close

from da_framework.stream_methods import lame as module
from da_framework.stream_methods.lame import LAME, affinities, laplacian_objective
from tests.stream_methods.models import batches, run
from tests.stream_methods.models import small_model as model


def lame(**keys: Any) -> LAME:
    given: dict[str, Any] = {
        "affinity": "knn", "neighbours": 3, "weight": 1.0, "iterations": 100
    }  # fmt: skip
    return LAME(model(), **(given | keys))


@pytest.mark.parametrize("affinity", ["knn", "rbf", "linear"])
def test_without_affinity_it_is_the_softmax(affinity: Any) -> None:
    (x,) = batches(1)
    assert_close(lame(affinity=affinity, weight=0.0).predict(x), model()(x)[1].softmax(1))


@pytest.mark.parametrize("affinity", ["knn", "rbf", "linear"])
def test_one_sample_alone_is_predicted_by_the_model(affinity: Any) -> None:
    x = batches(1, 1)[0]
    given = lame(affinity=affinity).predict(x)
    expected = model()(x)[1].softmax(1)
    assert torch.equal(given.argmax(1), expected.argmax(1))
    if affinity != "linear":  # in which a sample is near itself
        assert_close(given, expected)


@given(
    n=st.integers(2, 12),
    weight=st.floats(0.01, 3),
    kind=st.sampled_from(["rbf", "linear"]),
    seed=st.integers(0, 2**31),
)
def test_the_objective_falls_with_every_iteration(
    n: int, weight: float, kind: Any, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = normalize(torch.randn(n, 4, generator=generator).double())
    log_p = (2 * torch.randn(n, 3, generator=generator).double()).log_softmax(1)
    w = weight * affinities(features, kind, 3)
    if kind == "rbf":  # its diagonal makes it positive semidefinite, and changes no comparison
        assert_close(w.diagonal(), torch.full((n,), weight).double())
    z = log_p.exp()
    values = [float(laplacian_objective(z, log_p, w))]
    for _ in range(20):
        z = (log_p + w @ z).softmax(1)
        values.append(float(laplacian_objective(z, log_p, w)))
    assert all(b <= a + 1e-9 for a, b in pairwise(values))


def test_it_ends_at_a_fixed_point_no_higher_than_the_model() -> None:
    (x,) = batches(1)
    features, logits = model()(x)
    log_p = logits.log_softmax(1)
    for kind in ("rbf", "linear"):
        z = lame(affinity=kind, iterations=1000).predict(x)
        w = affinities(normalize(features), kind, 3)
        assert_close((log_p + w @ z).softmax(1), z, atol=1e-2, rtol=0)
        before, after = (laplacian_objective(own, log_p, w) for own in (log_p.exp(), z))
        assert after <= before


@pytest.mark.parametrize("affinity", ["knn", "rbf", "linear"])
def test_what_it_passes_through_is_ever_lower(
    affinity: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own iterations each but the last lowers the objective, which is what it returns."""
    seen: list[tuple[torch.Tensor, float]] = []

    def noted(z: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        value = laplacian_objective(z, *rest)
        seen.append((z, float(value)))
        return value

    monkeypatch.setattr(module, "laplacian_objective", noted)
    given = lame(affinity=affinity, weight=0.5).predict(batches(1)[0])
    values = [value for _, value in seen]
    assert len(values) > 3
    best = min(range(len(values)), key=values.__getitem__)
    assert best >= len(values) - 2
    assert values[: best + 1] == sorted(values[: best + 1], reverse=True)
    assert torch.equal(given, seen[-2][0])


class Pair(torch.nn.Module):
    """Two samples that are near each other, with known predictions."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, torch.tensor([[0.6, 0.4], [0.2, 0.8]]).double().log()


def test_two_samples_alike_are_put_together() -> None:
    """In closed form: z = softmax(log p + λ p') after one iteration, of a pair alone."""
    x = torch.tensor([[1.0, 0.0], [0.9, 0.1]]).double()
    method = LAME(Pair(), affinity="knn", neighbours=1, weight=2.0, iterations=1)
    first = torch.tensor([0.6 * math.exp(2 * 0.2), 0.4 * math.exp(2 * 0.8)]).double()
    second = torch.tensor([0.2 * math.exp(2 * 0.6), 0.8 * math.exp(2 * 0.4)]).double()
    expected = torch.stack([first / first.sum(), second / second.sum()])
    assert_close(method.predict(x), expected)


def test_neighbours_are_symmetric_and_none_is_its_own() -> None:
    features = normalize(torch.randn(9, 4).double())
    near = affinities(features, "knn", 2)
    assert torch.equal(near, near.T)
    assert not near.diagonal().any()
    distance = torch.cdist(features, features).fill_diagonal_(torch.inf)
    for row in range(9):
        assert near[row, distance[row].argsort()[:2]].all()
    assert near.sum() <= 2 * 9 * 2
    assert affinities(features[:1], "knn", 2).tolist() == [[0.0]]


def test_the_order_within_a_batch_does_not_matter() -> None:
    (x,) = batches(1)
    for kind in ("knn", "rbf", "linear"):
        method = lame(affinity=kind)
        assert_close(method.predict(x.flip(0)).flip(0), method.predict(x))


def test_batches_do_not_matter_to_each_other() -> None:
    given = batches()
    backward = torch.split(run(lame(), given[::-1]), 16)[::-1]
    assert torch.equal(torch.cat(backward), run(lame(), given))
