from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods.co_tuning import CoTuning


def test_the_former_head_learns_the_mean_of_what_it_said_of_a_class(tiny: Any) -> None:
    method = tiny.method(CoTuning, network=tiny.begun(fresh=True), weight=2.3, gradual=0.0)
    labelled = method.evaluate_samples(tiny.samples("target_labelled", rows=12))
    method.refresh({"target_labelled": labelled})
    p = method.former_head(labelled.features.double()).softmax(1)
    relation = torch.stack([p[labelled.y == c].mean(0) for c in range(3)])
    assert_close(method.relation, relation.detach(), rtol=1e-6, atol=1e-6)
    batch = tiny.batch("target_labelled")
    (objective,) = method.objectives(batch)
    rows = batch["target_labelled"]
    logits = method.former_head(method.network(rows.x)[0])
    assert logits.shape[1] == 4
    expected = cross_entropy(logits, method.relation[rows.y])
    assert_close(objective.terms["relation"].value, expected)
    before = method.former_head[0].weight.detach().clone()
    tiny.train(method, [batch])
    assert not torch.equal(method.former_head[0].weight, before)


def test_the_relation_is_of_before_the_first_step(tiny: Any) -> None:
    method = tiny.method(CoTuning, network=tiny.begun(fresh=True), weight=2.3, gradual=0.0)
    method.progress = 0.1
    before = method.relation.clone()
    method.refresh({"target_labelled": method.evaluate_samples(tiny.samples("target_labelled"))})
    assert_close(method.relation, before)
