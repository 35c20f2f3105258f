import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.uan import UAN

KEYS: dict[str, Any] = {"hidden": [6], "weight": 0.7, "coefficient": 0.5, "threshold": 0.0}


def by_hand(method: Any, features: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """w_T, a row at a time."""
    unknown = []
    for row, scores in zip(features, logits, strict=True):
        p = scores.softmax(0).tolist()
        entropy = -sum(one * math.log(one) for one in p) / math.log(3)
        similarity = 1 / (1 + math.exp(-method.judge(row[None]).item()))
        unknown.append(similarity - entropy)
    return torch.tensor(unknown, dtype=torch.float64)


def test_the_adversarial_loss_is_weighted_by_transferability(tiny: Any) -> None:
    method, batch = tiny.method(UAN, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    features, logits = method.network(torch.cat([batch["source"].x, batch["target"].x]))
    w = by_hand(method, features, logits)
    scaled = [(own - own.min()) / (own.max() - own.min()) for own in (-w[:7], w[7:])]
    expected = domain_adversarial(method.discriminator(features), n=7, weights=torch.cat(scaled))
    assert_close(objective.terms["domain"].value, expected)
    assert objective.terms["domain"].weight == 0.7
    similarity = domain_adversarial(method.judge(features), n=7)
    assert_close(objective.terms["similarity"].value, similarity)
    assert objective.terms["similarity"].weight == 1


def test_the_judge_does_not_shape_the_features(tiny: Any, gradient: Any) -> None:
    method = tiny.method(UAN, **KEYS)
    (objective,) = method.objectives(tiny.batch())
    similarity, domain = (objective.terms[name].value for name in ("similarity", "domain"))
    assert not any(own.any() for own in gradient(similarity, method.network))
    assert any(own.any() for own in gradient(similarity, method.judge))
    assert not any(own.any() for own in gradient(domain, method.judge))
    assert any(own.any() for own in gradient(domain, method.network.encoder))


@pytest.mark.parametrize(("threshold", "expected"), [(-1.1, False), (1.1, True)])
def test_rows_under_the_threshold_are_the_unknown(
    tiny: Any, threshold: float, expected: bool
) -> None:
    method = tiny.method(UAN, **(KEYS | {"threshold": threshold})).eval()
    x = tiny.samples("target").x
    _, logits = method(x)
    assert logits.shape[1] == 4
    assert ((logits.argmax(1) == 3) == expected).all()
    _, plain = method.network(x)
    assert torch.equal(logits[:, :3], plain)


def test_known_and_unknown_are_told_row_by_row(tiny: Any) -> None:
    method = tiny.method(UAN, **KEYS).eval()
    for parameter in method.judge.parameters():
        nn.init.zeros_(parameter)  # every row looks half like the source
    x = tiny.samples("target").x
    features, plain = method.network(x)
    w = by_hand(method, features, plain)
    method.threshold = w.median().item()
    assert torch.equal(method(x)[1].argmax(1) == 3, w < method.threshold)


def test_equal_weights_make_no_nan(tiny: Any) -> None:
    method = tiny.method(UAN, **KEYS)
    (objective,) = method.objectives(tiny.batch(source=1, target=1))
    assert objective.total.isfinite()
