"""Every estimator against its formula in NumPy, and what must be true of it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from scipy.optimize import linear_sum_assignment

from da_framework.accuracy_estimators.ac import ac
from da_framework.accuracy_estimators.atc import Score, atc
from da_framework.accuracy_estimators.bbse import bbse
from da_framework.accuracy_estimators.cot import cot
from da_framework.accuracy_estimators.doc import doc
from da_framework.accuracy_estimators.gde import gde
from da_framework.accuracy_estimators.mlls import mlls
from da_framework.calibrations.bias_corrected_temperature import bias_corrected_temperature
from da_framework.config.plugins import conf_dir
from da_framework.core.batch import UNLABELLED, Outputs
from da_framework.core.errors import InputError

Array = np.ndarray[Any, Any]
SEEDS = st.integers(0, 2**31)


def side(logits: Array, y: Array | None = None) -> Outputs:
    rows = torch.arange(len(logits))
    labels = torch.full_like(rows, UNLABELLED) if y is None else torch.as_tensor(y)
    z = torch.as_tensor(logits)
    return Outputs(z, labels, torch.zeros_like(rows), rows, z, z)


def draw(seed: int, n: int = 60, m: int = 50, k: int = 4) -> dict[str, Outputs]:
    """A source that is often right, a target that is less sure, and a second run."""
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    source = 2 * np.eye(k)[y] + rng.normal(size=(n, k))
    target = 1.5 * rng.normal(size=(m, k))
    second = target + rng.normal(size=(m, k))
    return {"source": side(source, y), "target": side(target), "target_second": side(second)}


def softmax(outputs: Outputs) -> Array:
    odds = np.exp(outputs.logits.numpy())
    return np.asarray(odds / odds.sum(1, keepdims=True))


def hits(outputs: Outputs) -> Array:
    return np.asarray(outputs.logits.argmax(1) == outputs.y)


def by_atc(outputs: Mapping[str, Outputs], score: Callable[[Array], Array]) -> float:
    """The share above a threshold below which, on the source, is as large a share as is wrong."""
    s, t = (score(softmax(outputs[role])) for role in ("source", "target"))
    error = 1 - hits(outputs["source"]).mean()
    threshold = min(s, key=lambda value: abs((s < value).mean() - error))
    return float((t >= threshold).mean())


def by_cot(outputs: Mapping[str, Outputs]) -> float:
    """Samples and one-hot labels of the source, repeated until both are equally many."""
    p, y = softmax(outputs["target"]), outputs["source"].y.numpy()
    p, e = np.repeat(p, len(y), axis=0), np.repeat(np.eye(p.shape[1])[y], len(p), axis=0)
    cost = np.abs(p[:, None] - e[None]).max(2)
    return float(1 - cost[linear_sum_assignment(cost)].mean())


def recalls(outputs: Outputs) -> Array:
    y = outputs.y.numpy()
    return np.array([hits(outputs)[y == j].mean() for j in range(outputs.logits.shape[1])])


def by_bbse(outputs: Mapping[str, Outputs]) -> float:
    """The linear system of predicted classes, solved."""
    source, k = outputs["source"], outputs["source"].logits.shape[1]
    predicted, y = source.logits.argmax(1).numpy(), source.y.numpy()
    joint = np.array([[((predicted == i) & (y == j)).mean() for j in range(k)] for i in range(k)])
    mean = np.bincount(outputs["target"].logits.argmax(1).numpy(), minlength=k) / 50
    shares = np.linalg.solve(joint, mean).clip(0) * np.bincount(y) / len(y)
    return float(shares / shares.sum() @ recalls(source))


def by_mlls(outputs: Mapping[str, Outputs]) -> float:
    """The likelihood of the shares, maximised by another method."""
    source, target = outputs["source"], outputs["target"]
    fitted = bias_corrected_temperature(source.logits, source.y, ridge=1.0)
    p = fitted(target.logits).softmax(1)
    ratio = p.numpy() / (np.bincount(source.y.numpy()) / len(source.y))

    def loss(z: Array) -> float:
        return -float(np.log(ratio @ special.softmax(z)).mean())

    found = optimize.minimize(loss, np.zeros(ratio.shape[1]), method="Nelder-Mead", tol=1e-12)
    return float(special.softmax(found.x) @ recalls(source))


SMALL = draw(0, n=12, m=9, k=3)
FULL = draw(1)
SURE = draw(2, n=400, m=300)
P = {role: softmax(FULL[role]) for role in FULL}
ACCURACY = hits(FULL["source"]).mean()
CASES: dict[str, tuple[Callable[[], float], float]] = {
    "ac": (lambda: ac(FULL), P["target"].max(1).mean()),
    "doc": (lambda: doc(FULL), ACCURACY - P["source"].max(1).mean() + P["target"].max(1).mean()),
    "atc": (
        lambda: atc(FULL, score="negative_entropy"),
        by_atc(FULL, lambda p: (p * np.log(p)).sum(1)),
    ),
    "atc by confidence": (
        lambda: atc(FULL, score="max_confidence"),
        by_atc(FULL, lambda p: p.max(1)),
    ),
    "cot": (lambda: cot(SMALL), by_cot(SMALL)),
    "bbse": (lambda: bbse(FULL), by_bbse(FULL)),
    "mlls": (lambda: mlls(SURE), by_mlls(SURE)),
    "gde": (lambda: gde(FULL), (P["target"].argmax(1) == P["target_second"].argmax(1)).mean()),
}
ESTIMATORS: dict[str, Callable[[Mapping[str, Outputs]], float]] = {
    "ac": ac,
    "doc": doc,
    "atc": partial(atc, score="negative_entropy"),
    "atc by confidence": partial(atc, score="max_confidence"),
    "bbse": bbse,
    "cot": cot,
    "gde": gde,
    "mlls": mlls,
}
FITTED = {"mlls": 1e-4}
"""Tolerance of those that search for an optimum."""


def test_every_estimator_has_a_formula() -> None:
    names = {path.stem for path in (conf_dir() / "accuracy_estimator").glob("*.yaml")}
    assert names == {name.split()[0] for name in CASES}
    assert CASES.keys() == ESTIMATORS.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_estimate_is_that_of_the_formula(name: str) -> None:
    estimate, expected = CASES[name]
    assert estimate() == pytest.approx(expected, rel=FITTED.get(name, 1e-9))


@pytest.mark.parametrize("name", ESTIMATORS)
@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_the_order_of_samples_does_not_count_and_it_is_a_share(name: str, seed: int) -> None:
    outputs, order = draw(seed), torch.Generator().manual_seed(seed)
    orders = {"source": torch.randperm(60, generator=order)}
    orders["target"] = orders["target_second"] = torch.randperm(50, generator=order)
    mixed = {role: Outputs(*(field[orders[role]] for field in outputs[role])) for role in outputs}
    estimate = ESTIMATORS[name](outputs)
    assert 0 <= estimate <= 1
    assert ESTIMATORS[name](mixed) == pytest.approx(estimate, abs=FITTED.get(name, 1e-12))


@pytest.mark.parametrize("score", ["negative_entropy", "max_confidence"])
@given(seed=SEEDS, noise=st.sampled_from([0.0, 1.0, 9.0]))
@settings(max_examples=25, deadline=None)
def test_the_threshold_makes_of_the_source_its_accuracy(
    score: Score, seed: int, noise: float
) -> None:
    source = draw(seed)["source"]
    y = source.y if noise else source.logits.argmax(1)
    y = y.roll(1) if noise == 9 else y
    source = source._replace(y=y)
    assert atc({"source": source, "target": source}, score=score) == hits(source).mean()


def test_a_threshold_on_equal_scores_counts_them_all() -> None:
    source = side(np.array([[1.0, 0.0]] * 4), np.array([0, 0, 1, 1]))
    assert atc({"source": source, "target": source}, score="max_confidence") == 1
    wrong = source._replace(y=torch.ones(4).long())
    assert atc({"source": wrong, "target": source}, score="max_confidence") == 0


@given(seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_transport_never_leaves_more_than_confidence(seed: int) -> None:
    outputs = draw(seed)
    assert cot(outputs) <= ac(outputs) + 1e-9


@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_transport_leaves_all_confidence_where_the_predicted_shares_are_the_sources(
    seed: int,
) -> None:
    outputs = draw(seed)
    predicted = outputs["target"].logits.argmax(1)
    source = side(np.zeros((50, 4)), predicted.numpy())
    assert cot({**outputs, "source": source}) == pytest.approx(ac(outputs), abs=1e-9)


def test_transport_finds_out_a_model_that_calls_everything_the_same() -> None:
    source = side(np.zeros((40, 4)), np.arange(40) % 4)
    target = side(np.tile([20.0, 0.0, 0.0, 0.0], (40, 1)))
    outputs = {"source": source, "target": target}
    assert ac(outputs) == pytest.approx(1, abs=1e-6)
    assert cot(outputs) == pytest.approx(1 / 4, abs=1e-6)


def test_a_class_that_the_source_does_not_have_takes_no_sample() -> None:
    source = side(np.zeros((4, 3)), np.array([0, 1, 0, 1]))
    target = side(np.log([[0.5, 0.2, 0.3], [0.1, 0.3, 0.6]]))
    assert cot({"source": source, "target": target}) == pytest.approx((0.5 + 0.3) / 2)


def test_confidence_is_the_accuracy_of_a_calibrated_model() -> None:
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(40_000, 5))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (p.cumsum(1) < rng.random((len(p), 1))).sum(1)
    accuracy = (p.argmax(1) == y).mean()
    # four standard errors of a share
    assert ac({"target": side(logits)}) == pytest.approx(accuracy, abs=4 * 0.5 / len(p) ** 0.5)


@given(seed=SEEDS, copies=st.lists(st.integers(1, 5), min_size=4, max_size=4))
@settings(max_examples=25, deadline=None)
def test_of_a_target_that_differs_in_class_shares_alone_the_accuracy_is_exact(
    seed: int, copies: list[int]
) -> None:
    source = draw(seed, n=200)["source"]
    rows = torch.arange(200).repeat_interleave(torch.tensor(copies)[source.y])
    target = Outputs(*(field[rows] for field in source))
    hidden = target._replace(y=torch.full_like(rows, UNLABELLED))
    outputs = {"source": source, "target": hidden}
    assert bbse(outputs) == pytest.approx(hits(target).mean(), abs=1e-9)


def test_of_a_model_that_is_calibrated_the_shares_and_the_accuracy_are_found() -> None:
    rng = np.random.default_rng(0)
    centres, shares = 2 * np.eye(3), np.array([0.7, 0.2, 0.1])

    def gaussians(p: Array) -> Outputs:
        y = rng.choice(3, size=20_000, p=p)
        x = centres[y] + rng.normal(size=(len(y), 3))
        return side(-((x[:, None] - centres) ** 2).sum(2) / 2, y)  # Bayes' rule at equal shares

    source, target = gaussians(np.ones(3) / 3), gaussians(shares)
    hidden = target._replace(y=torch.full_like(target.y, UNLABELLED))
    # four standard errors of a share
    for estimator in (bbse, mlls):
        found = estimator({"source": source, "target": hidden})
        assert found == pytest.approx(hits(target).mean(), abs=4 * 0.5 / 20_000**0.5)


def test_a_confidence_that_is_off_alike_on_both_sides_is_corrected() -> None:
    source = draw(3)["source"]
    assert doc({"source": source, "target": source}) == pytest.approx(hits(source).mean())


def test_agreement_says_that_it_needs_a_second_run() -> None:
    with pytest.raises(InputError, match="outputs of a second one"):
        gde({"target": FULL["target"]})


def test_transport_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("da_framework.accuracy_estimators.cot.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'da_framework\[ot\]'"):
        cot(FULL)
