"""TrAdaBoost as a method: the learner's algorithm on features, kept in buffers."""

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from da_framework.methods.boosting import tradaboost
from da_framework.methods.tradaboost import TrAdaBoost
from da_framework.networks.mlp import Identity
from da_framework.networks.network import Network


def fitted(tiny: Any, rounds: int = 6, flip: bool = False) -> Any:
    network = Network((2,), 3, backbone=Identity, bottleneck=[], head=[], dropout=0.0).double()
    method = tiny.method(TrAdaBoost, network=network, rounds=rounds)
    outputs = {}
    for role in ("source", "target_labelled"):
        rows = tiny.samples(role, rows=20)
        y = (rows.x[:, 0] * 2).long().clamp(-1, 1) + 1
        outputs[role] = method.evaluate_samples(
            rows._replace(y=(y + (flip and role == "source")) % 3)
        )
    method.refresh(outputs)
    return method, outputs


def test_says_what_the_learners_vote(tiny: Any) -> None:
    method, outputs = fitted(tiny)
    x = {role: own.x.numpy() for role, own in outputs.items()}
    y = {role: own.y.numpy() for role, own in outputs.items()}
    expected = tradaboost(
        *(x["source"], y["source"], x["target_labelled"], y["target_labelled"]),
        learner=lambda: LogisticRegression(max_iter=10000),
        rounds=6,
        classes=3,
    )
    _, logits = method(outputs["source"].x)
    scores = expected.scores(x["source"]) * expected.votes.sum()
    np.testing.assert_allclose(logits.numpy(), scores, rtol=1e-5)


def test_warns_when_the_source_is_forgotten(tiny: Any) -> None:
    method, outputs = fitted(tiny)
    assert not list(method.warnings(outputs))
    method.source_weights.copy_(torch.eye(20)[0])
    assert "its 20 rows are worth 1" in next(method.warnings(outputs))
