"""SHOT and SHOT-IM: source-free, from a trained network."""

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.losses.information import negative_mutual_information
from da_framework.methods.shot import SHOT
from da_framework.methods.shot_im import SHOTIM

KEYS: dict[str, Any] = {"weight": 0.7, "pseudo_weight": 0.3}


def whole(features: torch.Tensor, logits: torch.Tensor, tiny: Any) -> Any:
    """Outputs over the whole target."""
    method = tiny.method(SHOTIM, weight=1.0)
    target = method.outputs(tiny.batch("target"))["target"]
    row = torch.arange(len(features))
    return {"target": target._replace(features=features, logits=logits, row=row)}


def test_the_terms_are_information_and_the_labels_of_the_rows(tiny: Any) -> None:
    method, batch = tiny.method(SHOT, **KEYS), tiny.batch("target")
    method.pseudo_labels.copy_(torch.arange(20) % 3)
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["information", "pseudo_label"]
    _, logits = method.network(batch["target"].x)
    information, label = objective.terms.values()
    assert_close(information.value, negative_mutual_information(logits))
    assert_close(label.value, cross_entropy(logits, batch["target"].row % 3))
    assert (information.weight, label.weight) == (0.7, 0.3)
    (alone,) = tiny.method(SHOTIM, weight=0.7).objectives(batch)
    assert list(alone.terms) == ["information"]


def test_the_head_stays(tiny: Any) -> None:
    method = tiny.method(SHOT, **KEYS)
    head = [p.detach().clone() for p in method.network.head.parameters()]
    encoder = [p.detach().clone() for p in method.network.encoder.parameters()]
    tiny.train(method, [tiny.batch("target", seed=seed) for seed in range(3)])
    assert_close(list(method.network.head.parameters()), head)
    moved = zip(method.network.encoder.parameters(), encoder, strict=True)
    assert any(not torch.equal(now, before) for now, before in moved)


def test_a_row_s_label_is_its_cluster_s_whatever_is_predicted_of_itself(tiny: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.eye(4, dtype=torch.float64)[[0] * 7 + [1] * 7 + [2] * 6]
    noise = 0.05 * torch.randn(20, 4, dtype=torch.float64, generator=generator)
    right = torch.tensor([2] * 7 + [0] * 7 + [1] * 6)
    predicted = right.clone()
    predicted[[0, 8, 15]] = torch.tensor([1, 2, 0])  # a few of each cluster are mistaken
    logits = 4 * torch.eye(3, dtype=torch.float64)[predicted]
    method = tiny.method(SHOT, **KEYS)
    method.refresh(whole(5 * directions + noise, logits, tiny))
    assert torch.equal(method.pseudo_labels, right)
    assert "pseudo_labels" in method.state_dict()


def test_labels_are_the_paper_s_two_rounds(tiny: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(20, 4, dtype=torch.float64, generator=generator)
    logits = torch.randn(20, 3, dtype=torch.float64, generator=generator)
    method = tiny.method(SHOT, **KEYS)
    method.refresh(whole(features, logits, tiny))
    rows = [[*own, 1.0] for own in features.tolist()]
    rows = [[v / sum(u * u for u in own) ** 0.5 for v in own] for own in rows]
    share = logits.softmax(1).tolist()
    for _ in range(2):
        centres = [
            [sum(share[i][k] * rows[i][j] for i in range(20)) for j in range(5)] for k in range(3)
        ]
        centres = [[v / sum(u * u for u in own) ** 0.5 for v in own] for own in centres]
        cosine = [[sum(a * b for a, b in zip(r, c, strict=True)) for c in centres] for r in rows]
        labels = [own.index(max(own)) for own in cosine]
        share = [[float(label == k) for k in range(3)] for label in labels]
    assert method.pseudo_labels.tolist() == labels


def test_a_class_that_no_row_is_near_makes_no_nan(tiny: Any) -> None:
    features = torch.ones(20, 4, dtype=torch.float64)
    method = tiny.method(SHOT, **KEYS)
    method.refresh(whole(features, torch.zeros(20, 3, dtype=torch.float64), tiny))
    assert method.pseudo_labels.unique().tolist() == [0]


@pytest.mark.parametrize("method", ["shot", "shot_im"])
def test_it_goes_on_from_a_run_without_the_source(da: Any, method: str) -> None:
    assert da.train("method=source_only", "steps=300", run="first").code == 0
    ended = da.train(f"method={method}", "dataset.source=[]", "init_from=first", run="second")
    assert ended.code == 0, ended
    record = da.record("second")
    assert record["domains"]["source"] == []
    assert "source" not in record["rows"]
    first, second = da.weights("first"), da.weights("second")
    heads = [name for name in first if "head" in name]
    assert heads
    assert all(torch.equal(first[name], second[name]) for name in heads)


def test_without_a_trained_network_it_says_what_to_do(da: Any) -> None:
    ended = da.train("method=shot", "dataset.source=[]")
    assert ended.code == 2
    assert "SHOT goes on from a trained network" in ended.err
    assert "init_from=" in ended.err


def test_a_validator_that_needs_the_source_is_refused(da: Any) -> None:
    da.train("method=source_only", run="first")
    keys = ["method=shot", "dataset.source=[]", "init_from=first"]
    ended = da.train(*keys, "validator=source_accuracy", run="second")
    assert ended.code == 2
    assert "the validator needs the role 'source'" in ended.err


def test_a_class_that_is_never_predicted_is_nobody_s_label(tiny: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(20, 4, dtype=torch.float64, generator=generator)
    logits = torch.randn(20, 3, dtype=torch.float64, generator=generator)
    logits[:, 2] = logits[:, :2].amax(1) - 0.5
    method = tiny.method(SHOT, **KEYS)
    method.refresh(whole(features, logits, tiny))
    assert method.pseudo_labels.unique().tolist() == [0, 1]


def test_the_head_has_no_dropout(tiny: Any) -> None:
    network = tiny.network(dropout=0.5)
    network.head = torch.nn.Sequential(torch.nn.Dropout(0.5), network.head)
    tiny.method(SHOT, network=network, **KEYS).train()
    assert network.encoder.training
    features = torch.ones(5, 4, dtype=torch.float64)
    assert_close(network.head(features), network.head(features))
