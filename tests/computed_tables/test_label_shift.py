"""The trials of a table of label shift: draws, measures and medians by hand."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.computed_tables import label_shift
from da_framework.computed_tables.label_shift import (
    Sides,
    batches,
    compare,
    draw_shares,
    draw_shifted,
    measure,
    mnist_label_shift,
    summarise,
    train_network,
)
from da_framework.core.errors import InputError
from da_framework.label_shift_corrections.bbse import bbse
from da_framework.label_shift_corrections.shift_estimate import ShiftEstimate

K = 10


def test_a_class_has_its_share_and_the_others_the_rest() -> None:
    shares = draw_shares({"share": 0.91}, np.random.RandomState(0))
    assert shares[3] == pytest.approx(0.91)
    assert np.delete(shares, 3) == pytest.approx(0.01)
    drawn = draw_shares({"dirichlet": 10.0}, np.random.RandomState(0))
    assert drawn == pytest.approx(np.random.RandomState(0).dirichlet([10.0] * K))


def test_samples_are_drawn_in_the_shares_and_what_rounding_leaves_by_chance() -> None:
    members = [np.arange(label, 1000, K) for label in range(K)]
    shares = np.array([0.55, 0.25, 0.2, *[0.0] * 7])
    drawn = draw_shifted(members, shares, 30, np.random.RandomState(0))
    counts = np.bincount(drawn % K, minlength=K)
    assert counts.sum() == 30
    assert counts[3:].sum() == 0
    # 16.5, 7.5 and 6 samples: 29 by rounding down, the last by chance
    assert (counts[:3] >= [16, 7, 6]).all()


def known(weights: Tensor) -> Any:
    return lambda source, y, target: ShiftEstimate(weights, weights / weights.sum())


def test_a_measure_by_hand() -> None:
    """Nine classes once and one nine times: the error, distance and gain of a known estimate."""
    y = torch.arange(K)
    oracle = torch.tensor([0] * 9 + [1])
    source = torch.eye(K).double()[y]
    target = torch.zeros(10, K).double()
    target[:, 1] = math.log(2.0)  # twice as likely as any other
    weights = torch.tensor([3.0, *[1.0] * 9]).double()
    error, distance, gain = compare(source, y, target, oracle, torch.Tensor.double, known(weights))
    # true weights are 9, 1 and eight times 0
    assert error == pytest.approx((6**2 + 8) / 10)
    p, q = np.array([0.9, 0.1, *[0.0] * 8]), np.array([3.0, *[1.0] * 9]) / 12
    middle = (p + q) / 2
    terms = [
        float(np.sum(side[side > 0] * np.log(side[side > 0] / middle[side > 0]))) for side in (p, q)
    ]
    assert distance == pytest.approx(math.sqrt(sum(terms) / 2))
    # bare, all are the second class; weighted by 3, the first is likelier
    assert gain == pytest.approx(0.9 - 0.1)


def logits(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(K, (rows,), generator=generator)
    noise = torch.randn(rows, K, generator=generator, dtype=torch.float64)
    return 4 * torch.eye(K).double()[y] + noise, y


def test_every_shift_follows_the_same_validation_samples_and_a_trial_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(label_shift, "VALIDATION", 500)
    sides = Sides(*logits(500, 0), *logits(500, 1))
    keys: Any = {
        "calibrations": {"none": None},
        "corrections": {"bbse": partial(bbse, mode="soft")},
        "pairs": [("bbse", "none")],
    }
    both = {"a": {"dirichlet": 1.0}, "b": {"share": 0.5}}
    first = measure(sides, 3, 4, 200, shifts=both, **keys)
    alone = measure(sides, 3, 4, 200, shifts={"b": both["b"]}, **keys)
    assert first["b, n=200"] == alone["b, n=200"]
    assert len(first["a, n=200"]["bbse, none"]) == 4
    figures = summarise(first)
    assert figures.keys() == {*label_shift.MEASURES, *label_shift.UNSHIFTED}
    errors = sorted(values[0] for values in first["b, n=200"]["bbse, none"])
    expected = 1e5 * (errors[1] + errors[2]) / 2
    assert figures["weights"]["bbse, none"]["b, n=200"] == pytest.approx(expected)


def test_a_network_is_drawn_by_its_seed_and_its_rate_falls() -> None:
    x, y = torch.randn(64, 5, generator=torch.Generator().manual_seed(0)), torch.arange(64) % K
    keys: Any = {"samples": 50, "hidden": 4, "epochs": 2, "batch_size": 20}
    keys |= {"lr": 0.1, "momentum": 0.5, "decay": 0.5}
    one, same, other = (train_network(x, y, seed, **keys)(x) for seed in (1, 1, 2))
    assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)
    # by hand: the same steps with the rate divided by 1 + decay · step
    generator = torch.Generator().manual_seed(1)
    hidden, head = torch.nn.Linear(5, 4), torch.nn.Linear(4, K)
    for layer in (hidden, head):
        torch.nn.init.xavier_uniform_(layer.weight, generator=generator)
        torch.nn.init.zeros_(layer.bias)
    parameters = [*hidden.parameters(), *head.parameters()]
    velocity = [torch.zeros_like(p) for p in parameters]
    for step, batch in enumerate(batches(50, 20, 2, generator)):
        loss = torch.nn.functional.cross_entropy(head(hidden(x[batch]).relu()), y[batch])
        slopes = torch.autograd.grad(loss, parameters)
        velocity = [0.5 * v + g for v, g in zip(velocity, slopes, strict=True)]
        with torch.no_grad():
            for p, v in zip(parameters, velocity, strict=True):
                p.sub_(0.1 / (1 + 0.5 * step) * v)
    assert_close(one, head(hidden(x).relu()), atol=1e-5, rtol=0)


def test_without_mnist_it_is_said_where_it_comes_from(tmp_path: Any) -> None:
    with pytest.raises(InputError, match=r"mnist\.npz"):
        mnist_label_shift(
            lambda name, make: make(),
            data_dir=str(tmp_path),
            network={},
            seeds=[0],
            trials=1,
            sizes=[10],
            shifts={},
            calibrations={},
            corrections={},
            rows={},
        )
