import math
from typing import Any

import torch
from torch.testing import assert_close

from da_framework.methods.nrc import NRC

KEYS: dict[str, Any] = {"neighbors": 3, "expanded": 2, "far": 0.1, "weight": 0.7}


def test_the_loss_is_the_paper_s_sum_by_a_loop(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(NRC, **KEYS), tiny.batch("target")
    whole = tiny.batch("target", target=20)["target"]._replace(row=torch.arange(20))
    method.refresh({"target": method.evaluate_samples(whole)._replace(row=whole.row)})
    (objective,) = method.objectives(batch)
    _, logits = method.network(batch["target"].x)
    p, kept, rows = logits.softmax(1), method.kept_predictions, batch["target"].row.tolist()
    directions, mutual = method.kept_features, 0

    def nearest(row: int, count: int) -> list[int]:
        others = sorted(
            set(range(20)) - {row}, key=lambda j: -float(directions[row] @ directions[j])
        )
        return others[:count]

    total = torch.zeros((), dtype=torch.float64)
    for i, row in enumerate(rows):
        for j in nearest(row, 3):
            of_neighbor = nearest(j, 2)
            mutual += row in of_neighbor
            total = total - (1.0 if row in of_neighbor else 0.1) * p[i] @ kept[j]
            total = total - 0.1 * sum(p[i] @ kept[m] for m in of_neighbor)
        total = total - p[i] @ kept[row]
    assert 0 < mutual < 15
    mean = p.mean(0)
    total = total / 5 + 0.7 * (mean * mean.log()).sum()
    assert_close(objective.total, total)
    assert_close(gradient(objective.total, method), gradient(total, method))


def test_the_diversity_is_least_at_equal_shares(tiny: Any) -> None:
    method, batch = tiny.method(NRC, **KEYS), tiny.batch("target", target=3)
    (outputs,) = method.outputs(batch).values()
    apart = method.method_terms({"target": outputs._replace(logits=50 * torch.eye(3).double())})
    assert_close(apart["diversity"].value.item(), -math.log(3))


def test_a_target_of_one_sample_has_no_neighbours_and_itself(tiny: Any) -> None:
    method, batch = tiny.method(NRC, **KEYS), tiny.batch("target", target=1)
    alone = batch["target"]._replace(row=torch.zeros(1, dtype=torch.long))
    method.kept_features = method.kept_features[:1]
    method.kept_predictions = method.kept_predictions[:1]
    (objective,) = method.objectives({"target": alone})
    p = method.network(alone.x)[1].softmax(1)
    assert_close(objective.terms["itself"].value, -(p * p.detach()).sum())
    assert (objective.terms["neighbors"].value, objective.terms["expanded"].value) == (0, 0)
