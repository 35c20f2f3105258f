"""Orders in which a target arrives: pure functions of a seed, in which every sample comes once."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da_framework.core.errors import InputError
from da_framework.datasets.arrival import Arrival, arrange, draw_shares, rise_and_fall

Y = np.repeat(np.arange(4), 25)
DOMAIN = np.arange(100) % 2


def arranged(y: Any = Y, **keys: Any) -> Arrival:
    given: dict[str, Any] = {
        "order": "iid", "strength": 0.1, "corruptions": 0, "severity": 5, "seed": 1, **keys
    }  # fmt: skip
    return arrange(DOMAIN[: len(y)], y, **given)


@given(
    order=st.sampled_from(["iid", "class", "domain", "gradual"]),
    strength=st.sampled_from([0.0, 1e-3, 0.1, 1.0, 1e3]),
    corruptions=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    size=st.integers(1, 120),
)
def test_every_sample_comes_once_in_batches_of_one_stage(
    order: Any, strength: float, corruptions: int, seed: int, size: int
) -> None:
    keys: Any = {"order": order, "strength": strength, "corruptions": corruptions, "seed": seed}
    arrival = arranged(**keys)
    assert sorted(arrival.rows) == list(range(100))
    assert all((a == b).all() for a, b in zip(arrival, arranged(**keys), strict=True))
    batches = arrival.batches(size)
    places = [place for batch in batches for place in range(batch.start, batch.stop)]
    assert places == list(range(100))
    assert all(len({*arrival.stage[batch].tolist()}) == 1 for batch in batches)
    assert all(0 < batch.stop - batch.start <= size for batch in batches)
    assert (arrival.domain == DOMAIN[arrival.rows]).all()


def test_another_seed_is_another_order() -> None:
    assert (arranged(seed=2).rows != arranged().rows).any()


@pytest.mark.parametrize("order", ["iid", "class", "domain"])
def test_so_many_arrive_whatever_their_labels(order: Any) -> None:
    few = arranged(order=order, samples=30)
    assert len({*few.rows.tolist()}) == len(few.rows) == 30
    assert (few.domain == DOMAIN[few.rows]).all()
    assert all((a == b).all() for a, b in zip(few, arranged(order=order, samples=30), strict=True))
    assert {*few.rows.tolist()} == {*arranged(samples=30).rows.tolist()}  # in another order
    assert {*arranged(Y[::-1], order=order, samples=30).rows.tolist()} == {*few.rows.tolist()}
    assert {*few.rows.tolist()} != {*arranged(order=order, samples=30, seed=2).rows.tolist()}
    for more in (100, 101):
        assert (arranged(order=order, samples=more).rows == arranged(order=order).rows).all()


def changes(labels: Any) -> int:
    return sum(a != b for a, b in pairwise(labels))


def test_the_less_the_strength_the_more_a_class_comes_at_once() -> None:
    strengths = [0.0, 1.0, 1e6]
    counts = [changes(Y[arranged(order="class", strength=s).rows]) for s in strengths]
    assert counts[0] == 3
    assert counts == sorted(counts)
    assert counts[2] == pytest.approx(75, abs=12)  # of 99, as in any order


@pytest.mark.parametrize("strength", [0.1, 1.0, 5.0])
def test_shares_are_of_the_dirichlet_distribution(strength: float) -> None:
    """In k dimensions the mean is 1 / k, the variance (k - 1) / (k² (k s + 1))."""
    draw, k = np.random.default_rng(0), 4
    shares = np.stack([draw_shares(strength, k, draw) for _ in range(4000)])
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_allclose(shares.mean(0), 1 / k, atol=0.02)
    np.testing.assert_allclose(shares.var(0), (k - 1) / (k**2 * (k * strength + 1)), rtol=0.1)


def test_a_small_strength_gives_one_all() -> None:
    draw = np.random.default_rng(0)
    assert draw_shares(1e-9, 5, draw).max() == 1


def test_domains_follow_each_other() -> None:
    arrival = arranged(order="domain", corruptions=2)
    assert arrival.domain.tolist() == [0] * 50 + [1] * 50
    assert arrival.stage.tolist() == [0] * 25 + [1] * 25 + [2] * 25 + [3] * 25
    assert arrival.corruption.tolist() == ([0] * 25 + [1] * 25) * 2
    assert {*arrival.severity.tolist()} == {5}


def test_severity_rises_and_falls() -> None:
    assert rise_and_fall(9, 5).tolist() == [1, 2, 3, 4, 5, 4, 3, 2, 1]
    assert rise_and_fall(4, 1).tolist() == [1] * 4
    severity = arranged(order="gradual", corruptions=1, severity=3).severity
    assert severity.tolist() == sorted(severity[:60]) + sorted(severity[60:], reverse=True)
    assert {*severity.tolist()} == {1, 2, 3}


def test_without_a_corruption_there_is_no_severity() -> None:
    assert {*arranged().severity.tolist()} == {0}
    with pytest.raises(InputError, match="order=gradual changes the severity"):
        arranged(order="gradual")


@pytest.mark.parametrize("order", ["iid", "domain"])
def test_no_corruption_is_left_without_a_sample(order: Any) -> None:
    least = 50 if order == "domain" else 100  # of a domain, or of all
    assert len({*arranged(order=order, corruptions=least).corruption.tolist()}) == least
    with pytest.raises(InputError) as error:
        arranged(order=order, corruptions=least + 1)
    assert str(error.value) == (
        f"{least + 1} corruptions share {least} samples, and some would have none: name fewer"
    )


def test_what_has_no_labels_is_not_put_in_their_order() -> None:
    unlabelled = np.where(Y == 2, -1, Y)
    with pytest.raises(InputError, match="order=class puts samples in order by their labels"):
        arranged(unlabelled, order="class")
    assert len(arranged(unlabelled).rows) == 100


def test_labels_decide_no_other_order() -> None:
    shuffled = np.random.default_rng(3).permutation(Y)
    for order in ("iid", "domain", "gradual"):
        there, here = (arranged(y, order=order, corruptions=1).rows for y in (Y, shuffled))
        assert (there == here).all()
