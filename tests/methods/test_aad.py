from typing import Any

import torch
from torch.testing import assert_close

from da_framework.methods.aad import AaD


def test_the_terms_are_the_paper_s_sums(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(AaD, neighbors=3, dispersion=0.7), tiny.batch("target")
    every = tiny.batch("target", target=20)["target"]
    whole = every._replace(row=torch.arange(20))
    method.refresh({"target": method.evaluate_samples(whole)._replace(row=whole.row)})
    before = method.kept_predictions.clone()
    (objective,) = method.objectives(batch)
    _, logits = method.network(batch["target"].x)
    p, row = logits.softmax(1), batch["target"].row
    kept = before.index_copy(0, row, p.detach())
    near = method.nearest(row, 3)
    attracted = -sum(p[i] @ kept[j] for i in range(5) for j in near[i]) / 5
    dispersed = sum(p[i] @ p[j] for i in range(5) for j in range(5) if i != j) / 5 * 3 / 4
    assert_close(objective.terms["attraction"].value, attracted)
    assert_close(objective.terms["dispersion"].value, dispersed)
    total = attracted + 0.7 * dispersed
    assert_close(objective.total, total)
    assert_close(gradient(objective.total, method), gradient(total, method))


def test_a_lone_sample_has_nobody_to_be_apart_from(tiny: Any) -> None:
    method = tiny.method(AaD, neighbors=3, dispersion=0.7)
    (objective,) = method.objectives(tiny.batch("target", target=1))
    assert abs(objective.terms["dispersion"].value.item()) < 1e-15


def test_samples_of_one_class_alone_attract_most_and_disperse_least(tiny: Any) -> None:
    method, batch = tiny.method(AaD, neighbors=3, dispersion=1.0), tiny.batch("target")
    (outputs,) = method.outputs(batch).values()
    sure = outputs._replace(logits=torch.tensor([[50.0, 0, 0]]).double().expand(5, 3))
    method.kept_predictions[:, 0] = 1
    terms = method.method_terms({"target": sure})
    assert_close(terms["attraction"].value.item(), -3.0)
    assert_close(terms["dispersion"].value.item(), 3.0)
