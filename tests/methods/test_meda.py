"""MEDA: the geodesic before ARTL, and how much the classes weigh."""

from typing import Any

import numpy as np
import pytest
import torch

from da_framework.estimator import Estimator
from da_framework.methods import meda
from da_framework.methods.meda import estimate_balance, proxy_distance
from tests.methods.test_artl import CENTRES, RNG, T, X, Y, by_hand

KEYS: dict[str, Any] = {"smoothness": 2.0, "neighbours": 4, "components": 2}


def geodesic_by_hand(x: Any, t: Any) -> tuple[Any, Any]:
    """Both sides along the geodesic, whose kernel is an integral over it."""
    x, t = x - x.mean(0), t - t.mean(0)
    start, end = (np.linalg.svd(side)[2][:2].T for side in (x, t))
    turn, cosines, turned = np.linalg.svd(start.T @ end)
    angles = np.arccos(np.clip(cosines, -1, 1))
    along = start @ turn
    beside = (end @ turned.T - along * cosines) / np.sin(angles)
    flow, steps = np.zeros((x.shape[1],) * 2), 4000
    for step in range(steps):
        at = (step + 0.5) / steps * angles
        basis = along * np.cos(at) + beside * np.sin(at)
        flow += basis @ basis.T / steps
    values, vectors = np.linalg.eigh(flow)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    return x @ root, t @ root


@pytest.mark.parametrize("rounds", [1, 4])
def test_in_equal_parts_it_is_artl_along_the_geodesic(rounds: int) -> None:
    model = Estimator("meda", balance=0.5, rounds=rounds, **KEYS).fit(X, Y, T)
    _, logits = model.method_(torch.as_tensor(T))
    along, target = geodesic_by_hand(X, T)
    np.testing.assert_allclose(logits, by_hand(along, Y, target, rounds=rounds), atol=1e-5)


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0])
def test_domains_and_classes_weigh_what_the_balance_says(balance: float) -> None:
    model: Any = Estimator("meda", balance=balance, **KEYS).fit(X, Y, T)
    rows = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.tensor([0, 1, 1, 2, 0, 0, 1])
    root = model.method_.differences(rows, labels, 4)
    e = np.array([1 / 4] * 4 + [-1 / 3] * 3)
    expected = (1 - balance) * 3 * np.outer(e, e)
    for c in range(3):
        here, there = (labels[:4] == c).double().numpy(), (labels[4:] == c).double().numpy()
        e = np.concatenate([here / max(here.sum(), 1), -there / max(there.sum(), 1)])
        expected += balance * np.outer(e, e)
    np.testing.assert_allclose(root @ root.T, expected / np.linalg.norm(expected), atol=1e-12)


def test_the_balance_is_found_anew_in_every_round_of_samples_of_any_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[Any, Any]] = []

    def watch(rows: Any, labels: Any, sources: int, classes: int) -> float:
        seen.append((rows, labels))
        assert (sources, classes) == (30, 3)
        return 0.5

    monkeypatch.setattr(meda, "estimate_balance", watch)
    found = Estimator("meda", rounds=4, **KEYS).fit(X, Y, T)
    given = Estimator("meda", rounds=4, balance=0.5, **KEYS).fit(X, Y, T)
    assert torch.equal(found.method_(torch.as_tensor(T))[1], given.method_(torch.as_tensor(T))[1])
    assert len(seen) == 4
    assert not torch.equal(seen[0][1], seen[1][1])
    lengths = torch.linalg.vector_norm(seen[0][0], dim=1)
    assert lengths.std() > 0.1


def test_a_distance_is_two_apart_and_none_where_nothing_tells_the_domains() -> None:
    source = torch.arange(40) < 20
    rows = torch.as_tensor(RNG.normal(size=(40, 2)))
    assert proxy_distance(rows + 50 * source[:, None], source) == 2
    assert proxy_distance(torch.zeros(40, 2).double(), source) == 0
    few = torch.arange(40) < 5  # whoever says "target" is wrong on an eighth
    assert proxy_distance(torch.zeros(40, 2).double(), few) == 2 * (1 - 2 / 8)


def test_the_balance_is_the_classes_share_of_both_distances() -> None:
    labels = torch.arange(60) % 3
    rows = torch.as_tensor(CENTRES[labels] * 20)
    moved = rows + 500  # as far apart as a whole as in every class
    assert estimate_balance(torch.cat([rows, moved]), labels.repeat(2), 60, 3) == 0.5
    # nothing tells the domains but the classes, whose places are exchanged in the target
    turned = torch.as_tensor(CENTRES[(labels + 1) % 3] * 20)
    both = torch.cat([rows, turned])
    assert estimate_balance(both, labels.repeat(2), 60, 3) == 1.0
    # a class that the target does not have says nothing
    few = torch.cat([labels, labels.clamp_max(1)])
    assert 0 <= estimate_balance(torch.cat([rows, moved]), few, 60, 3) <= 1
    # no class is in both domains
    assert estimate_balance(torch.cat([rows, moved]), torch.arange(120) // 60, 60, 2) == 0.0
