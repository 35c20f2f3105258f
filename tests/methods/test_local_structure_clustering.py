from typing import Any

import torch
from torch.testing import assert_close

from da_framework.methods.local_structure_clustering import LocalStructureClustering

KEYS: dict[str, Any] = {"neighbors": 3, "weight": 0.7}


def test_the_loss_is_the_paper_s_by_a_loop(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(LocalStructureClustering, **KEYS), tiny.batch("target")
    whole = tiny.batch("target", target=20)["target"]._replace(row=torch.arange(20))
    method.refresh({"target": method.evaluate_samples(whole)._replace(row=whole.row)})
    (objective,) = method.objectives(batch)
    _, logits = method.network(batch["target"].x)
    p, row = logits.softmax(1), batch["target"].row
    near = method.nearest(row, 3)
    total = -sum((p[i] @ method.kept_predictions[j]).log() for i in range(5) for j in near[i]) / 5
    mean = p.mean(0)
    total = total + 0.7 * (mean * mean.log()).sum()
    assert_close(objective.total, total)
    assert_close(gradient(objective.total, method), gradient(total, method))


def test_a_neighbour_that_surely_has_another_class_makes_no_infinity(tiny: Any) -> None:
    method, batch = tiny.method(LocalStructureClustering, **KEYS), tiny.batch("target", target=1)
    (outputs,) = method.outputs(batch).values()
    method.kept_predictions.zero_()
    method.kept_predictions[:, 1] = 1
    logits = torch.tensor([[2000.0, 0, 0]]).double().requires_grad_()
    term = method.method_terms({"target": outputs._replace(logits=logits)})["neighbors"].value
    (slope,) = torch.autograd.grad(term, logits)
    assert term.isfinite()
    assert slope.isfinite().all()
