from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods.rsc import RSC
from da_framework.methods.source_only import SourceOnly


@pytest.mark.parametrize(("features", "samples"), [(0.0, 0.5), (0.5, 0.0), (0.0, 0.0)])
def test_where_nothing_is_dropped_it_is_training_on_the_sources(
    tiny: Any, features: float, samples: float
) -> None:
    method = tiny.method(RSC, drop_features=features, drop_samples=samples)
    (muted,) = method.objectives(tiny.batch("source"))
    (plain,) = tiny.method(SourceOnly).objectives(tiny.batch("source"))
    assert torch.equal(muted.total, plain.total)


def test_muted_is_what_says_most_in_the_samples_that_it_hurts_most(tiny: Any) -> None:
    method, batch = tiny.method(RSC, drop_features=0.5, drop_samples=0.6), tiny.batch("source")
    (objective,) = method.objectives(batch)
    source, head = batch["source"], method.network.head[-1]
    features, logits = method.network(source.x)
    muted, falls = features.clone(), []
    for row, label in enumerate(source.y.tolist()):
        # the slope of a linear head's logit is its weights
        for feature in head.weight[label].topk(2).indices:
            muted[row, feature] = 0
        p, q = (head(own[row]).softmax(0)[label].item() for own in (features, muted))
        falls.append(p - q)
    order = sorted(range(7), key=lambda row: -falls[row])
    for row in order[4:]:  # 0.6 of 7 rounded down are muted
        muted[row] = features[row]
    assert not torch.equal(muted, features)
    assert_close(objective.total, cross_entropy(head(muted), source.y))
    assert objective.total > cross_entropy(logits, source.y)


def test_what_is_muted_is_decided_without_dropout_and_modes_return(tiny: Any) -> None:
    network = tiny.network()
    network.head = torch.nn.Sequential(torch.nn.Dropout(0.5), *network.head)
    method = tiny.method(RSC, network=network, drop_features=0.5, drop_samples=0.5).train()
    features = torch.rand(6, 4, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.equal(method.kept(features, y), method.kept(features, y))
    assert network.head[0].training
