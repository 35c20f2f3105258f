"""SHOT++'s labeling transfer: the split of the target, and MixMatch over its halves."""

import math
from typing import Any

import pytest
import torch
from torch.nn.functional import one_hot
from torch.testing import assert_close

from da_framework.methods import shot_plus_plus
from da_framework.methods.shot_plus_plus import SHOTPlusPlus

KEYS: dict[str, Any] = {"weight": 6.0, "temperature": 0.5, "concentration": 0.75}
SURE = [0, -1, 2, -1, 1]
"""Labels of the five samples of a batch."""


def whole(logits: torch.Tensor, tiny: Any) -> Any:
    """Outputs over the whole target."""
    target = tiny.method(SHOTPlusPlus, **KEYS).outputs(tiny.batch("target"))["target"]
    return {"target": target._replace(logits=logits, row=torch.arange(len(logits)))}


def logits_of(predicted: list[int], sureness: list[float]) -> torch.Tensor:
    """Logits of these decisions, so much above the others."""
    return one_hot(torch.tensor(predicted), 3).double() * torch.tensor(sureness).double()[:, None]


def mixing(method: SHOTPlusPlus, batch: Any, monkeypatch: pytest.MonkeyPatch, share: float) -> Any:
    """The objective where samples are mixed with the one that stands behind them."""
    order = torch.tensor([1, 2, 3, 4, 0])
    monkeypatch.setattr(shot_plus_plus, "draw_share", lambda *_: share)
    monkeypatch.setattr(shot_plus_plus, "draw_partners", lambda *_, **__: order)
    method.pseudo_labels[batch["target"].row] = torch.tensor(SURE)
    method.progress = 0.25
    (objective,) = method.objectives(batch)
    return objective


def test_the_surest_of_every_predicted_class_are_labelled(tiny: Any) -> None:
    # the deviation of two samples of class 2 lowers the mean: 8 of 20 are above it, s = 12 / 20
    predicted = [0] * 10 + [1] * 5 + [2] * 5
    sureness = [9.0] * 4 + [1.0] * 6 + [8.0] * 5 + [7.0, 2.0, 7.0, 1.5, 7.0]
    logits = logits_of(predicted, sureness)
    entropy = [-sum(p * math.log(p) for p in row) for row in logits.softmax(1).tolist()]
    share = sum(value < sum(entropy) / 20 for value in entropy) / 20
    assert share == 12 / 20
    method = tiny.method(SHOTPlusPlus, **KEYS)
    method.refresh(whole(logits, tiny))
    # six of class 0, surest first, and three of each other class, ties in their order
    expected = [0] * 6 + [-1] * 4 + [1] * 3 + [-1] * 2 + [2, -1, 2, -1, 2]
    assert method.pseudo_labels.tolist() == expected
    assert "pseudo_labels" in method.state_dict()


def test_it_is_split_once_by_the_model_that_it_begins_with(tiny: Any) -> None:
    method = tiny.method(SHOTPlusPlus, **KEYS)
    first = logits_of([0] * 10 + [1] * 10, [5.0] * 10 + [1.0] * 10)
    method.refresh(whole(first, tiny))
    kept = method.pseudo_labels.clone()
    method.refresh(whole(first.flip(0), tiny))
    assert torch.equal(method.pseudo_labels, kept)
    method.reset_fitted(method.task)
    method.refresh(whole(first.flip(0), tiny))
    assert not torch.equal(method.pseudo_labels, kept)


def test_where_all_are_equally_sure_none_is_labelled(tiny: Any) -> None:
    method = tiny.method(SHOTPlusPlus, **KEYS)
    method.refresh(whole(torch.zeros(20, 3).double(), tiny))
    assert method.pseudo_labels.unique().tolist() == [-1]


@pytest.mark.parametrize("share", [0.7, 0.3])
def test_the_terms_are_those_of_mixtures_by_hand(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    method, batch = tiny.method(SHOTPlusPlus, **KEYS), tiny.batch("target")
    objective = mixing(method, batch, monkeypatch, share)
    x, (_, logits) = batch["target"].x, method.network(batch["target"].x)
    labels = []
    for row, label in zip(logits.softmax(1).tolist(), SURE, strict=True):
        sharp = [p**2 / sum(q**2 for q in row) for p in row]  # T = 1/2
        labels.append([float(k == label) for k in range(3)] if label >= 0 else sharp)
    mixed = 0.7 * x + 0.3 * x[[1, 2, 3, 4, 0]]  # the share of itself is at least a half
    p = method.network(mixed)[1].softmax(1).tolist()
    sure, unsure = [], []
    for i in range(5):
        y = [0.7 * a + 0.3 * b for a, b in zip(labels[i], labels[(i + 1) % 5], strict=True)]
        pairs = list(zip(p[i], y, strict=True))
        if SURE[i] >= 0:
            sure.append(-sum(t * math.log(q) for q, t in pairs))
        else:
            unsure.append(sum((q - t) ** 2 for q, t in pairs) / 3)
    assert objective.terms["sure"].value.item() == pytest.approx(sum(sure) / 3)
    assert objective.terms["unsure"].value.item() == pytest.approx(sum(unsure) / 2)
    assert objective.terms["unsure"].weight == 6.0 * 0.25


def test_guesses_are_without_gradient(
    tiny: Any, gradient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, batch = tiny.method(SHOTPlusPlus, **KEYS), tiny.batch("target")
    given = gradient(mixing(method, batch, monkeypatch, 1.0).total, method)
    _, logits = method.network(batch["target"].x)
    y = (logits.detach() / 0.5).softmax(1)
    sure = torch.tensor(SURE) >= 0
    y[sure] = one_hot(torch.tensor(SURE)[sure], 3).double()
    label = -(y * logits.log_softmax(1)).sum(1)[sure].mean()
    square = (y - logits.softmax(1)).square().mean(1)[~sure].mean()
    assert_close(given, gradient(label + 1.5 * square, method))


def test_a_batch_of_one_kind_alone_has_no_nan(tiny: Any) -> None:
    method, batch = tiny.method(SHOTPlusPlus, **KEYS), tiny.batch("target")
    for value in (-1, 1):
        method.pseudo_labels.fill_(value)
        (objective,) = method.objectives(batch)
        assert objective.total.isfinite()
    assert objective.terms["unsure"].value == 0


@pytest.mark.slow
def test_it_is_the_stage_after_shot(da: Any) -> None:
    small = ("steps=40", "evaluate_every=20")
    assert da.train("method=source_only", "steps=100", run="source").code == 0
    assert (
        da.train("method=shot", "dataset.source=[]", "init_from=source", *small, run="s").code == 0
    )
    last = ("method=shot_plus_plus", "dataset.source=[]", "init_from=s", *small)
    ended = da.train(*last, run="last")
    assert ended.code == 0, ended.err
    assert da.record("last")["domains"]["source"] == []
    (labels,) = (v for name, v in da.weights("last").items() if name.endswith("pseudo_labels"))
    assert labels.unique().tolist() == [-1, 0, 1]
