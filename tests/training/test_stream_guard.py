"""A guard that notices collapse: planted ones are caught, and do little harm."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from da_framework.datasets.arrival import arrange
from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network
from da_framework.stream_methods.base import StreamMethod
from da_framework.stream_methods.bn_statistics import BNStatistics
from da_framework.stream_methods.tent import Tent
from da_framework.training.stream_guard import Guard, Limits, spread_over_classes
from da_framework.training.streaming import Passed, pass_stream
from tests.stream_methods.models import Model, adam, sgd, small_model

LIMITS: Limits = {"window": 64, "min_diversity": 0.6, "min_entropy": 0.05, "max_drift": 1.0}
CLASSES, COUNT = 4, 1200


def blobs(count: int, *, seed: int, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Points about the corners of a square, a class each."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % CLASSES
    corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    return corners[y] + shift + torch.randn(count, 2, generator=generator), y


def trained() -> Model:
    """A model that has learnt the points where they are not shifted."""
    torch.manual_seed(0)
    network = Network(
        (2,), CLASSES, bottleneck=[], head=[], dropout=0.0,
        backbone=lambda shape: MLP(shape, widths=[16], batch_norm=True, dropout=0.0),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    x, y = blobs(400, seed=1)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x)[1], y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Model(network.eval())


def accuracy(passed: Passed, labels: Tensor) -> float:
    return float((torch.tensor(passed.predicted) == labels).double().mean())


def passes(method: StreamMethod, guard: Guard | None, order: Any) -> tuple[Passed, float]:
    x, y = blobs(COUNT, seed=2, shift=0.7)
    arrival = arrange(
        *(np.zeros(COUNT, np.int64), y.numpy()),
        order=order,
        strength=0.0,
        corruptions=0,
        severity=5,
        seed=1,
    )
    rows = torch.as_tensor(arrival.rows)
    passed = pass_stream(
        method, lambda batch: x[rows[batch]], arrival, batch_size=16, seed=1, guard=guard
    )
    return passed, accuracy(passed, y[rows])


@pytest.mark.parametrize(
    ("optimizer", "prior"),
    [(adam(0.5), 1e6), (adam(0.05), 1e6), (sgd(20.0), 1e6), (adam(0.5), 0.0), (sgd(20.0), 16.0)],
)
def test_a_planted_collapse_is_caught_and_does_little_harm(optimizer: Any, prior: float) -> None:
    """Entropy is minimised at a large rate on a stream that is sorted by class."""
    _, source = passes(StreamMethod(trained()), None, "class")
    _, alone = passes(Tent(trained(), optimizer=optimizer, prior=prior), None, "class")
    guard = Guard(trained(), LIMITS)
    method = Tent(trained(), optimizer=optimizer, prior=prior)
    passed, guarded = passes(method, guard, "class")
    assert alone < source - 0.2
    assert guard.resets == len(passed.resets) > 0
    assert guarded >= source - 0.02


def test_a_healthy_stream_is_left_alone() -> None:
    guard = Guard(trained(), LIMITS)
    passed, guarded = passes(Tent(trained(), optimizer=adam(0.001), prior=0.0), guard, "iid")
    _, source = passes(StreamMethod(trained()), None, "iid")
    assert (passed.resets, guard.resets) == ([], 0)
    assert guarded > source
    # once it is no longer on probation, the method's predictions are given
    free, _ = passes(Tent(trained(), optimizer=adam(0.001), prior=0.0), None, "iid")
    window = LIMITS["window"]
    assert passed.confidence[window:] == free.confidence[window:]
    still, _ = passes(StreamMethod(trained()), None, "iid")
    assert passed.confidence[:window] == still.confidence[:window]


def test_a_reset_goes_to_the_beginning() -> None:
    method = Tent(small_model(), optimizer=adam(5.0), prior=0.0)
    method.remember()
    begun = [weight.detach().clone() for weight in method.trained]
    guard = Guard(small_model(), LIMITS)
    x = torch.randn(8, 6).double()
    given, reason = guard.judge(method, x, method.predict_then_adapt(x))
    assert reason.startswith("the weights moved by ")
    assert_close(given, small_model()(x)[1].softmax(1).detach())
    assert guard.probation == 2 * LIMITS["window"]
    method.reset()
    assert all(torch.equal(a, b) for a, b in zip(method.trained, begun, strict=True))


def test_drift_is_relative_to_the_norm() -> None:
    method = Tent(small_model(), optimizer=sgd(0.0), prior=0.0)
    method.remember()
    guard = Guard(small_model(), LIMITS)
    norm = sum(float(weight.detach().square().sum()) for weight in method.trained) ** 0.5
    assert guard.measure_drift(method) == 0
    with torch.no_grad():
        method.trained[0][0] += 0.25 * norm
    assert guard.measure_drift(method) == pytest.approx(0.25)
    still = BNStatistics(small_model(), prior=0.0)
    assert Guard(small_model(), LIMITS).measure_drift(still) == 0
    with torch.no_grad():
        method.trained[0][0] = torch.nan
    assert "no longer finite" in guard.find_collapse(method, finite=True)


def shares(*labels: int, sure: float = 0.9) -> Tensor:
    rest = (1 - sure) / 3
    return torch.full((len(labels), 4), rest).scatter_(1, torch.tensor(labels)[:, None], sure)


def test_fewer_classes_than_the_source_model_has_are_a_collapse() -> None:
    guard = Guard(small_model(), {**LIMITS, "window": 8})
    method = StreamMethod(small_model())
    guard.note(shares(0), shares(1))
    assert guard.find_collapse(method, finite=True) == ""  # too little has been seen yet
    guard.note(shares(0, 0, 0, 0), shares(0, 1, 2, 3))
    assert guard.find_collapse(method, finite=True).startswith("predictions are of 1 classes")
    guard.reset()
    guard.note(shares(*[0] * 50), shares(*[0] * 50))
    guard.note(shares(0, 0), shares(1, 1))  # the stream goes on to another class: two of each
    assert guard.find_collapse(method, finite=True).startswith("predictions are of 1 classes")
    guard.reset()
    guard.note(shares(*[0] * 8), shares(*[0] * 8))  # a stream of one class
    assert guard.find_collapse(method, finite=True) == ""


def test_certain_and_other_than_the_source_model_is_a_collapse() -> None:
    guard = Guard(small_model(), {**LIMITS, "window": 4})
    method = StreamMethod(small_model())
    guard.note(shares(1, 2, 3, 0, sure=1.0), shares(0, 1, 2, 3, sure=0.4))
    assert guard.find_collapse(method, finite=True).startswith("the entropy is 0 of the source")
    guard.reset()
    guard.note(shares(0, 1, 2, 3, sure=1.0), shares(0, 1, 2, 3, sure=0.4))
    assert guard.find_collapse(method, finite=True) == ""


def test_the_spread_is_the_number_of_classes_where_all_are_alike() -> None:
    assert spread_over_classes([1, 1, 1]) == 1
    assert spread_over_classes([0, 1, 2, 3]) == pytest.approx(4)
    assert 1 < spread_over_classes([0, 0, 0, 1]) < 2


def test_probation_doubles() -> None:
    guard = Guard(small_model(), LIMITS)
    method = Tent(small_model(), optimizer=adam(5.0), prior=0.0)
    method.remember()
    x = torch.randn(8, 6).double()
    for number in range(1, 4):
        _, reason = guard.judge(method, x, method.predict_then_adapt(x))
        assert reason
        method.reset()
        assert (guard.resets, guard.probation) == (number, 64 * 2**number)
