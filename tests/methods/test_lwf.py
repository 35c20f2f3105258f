from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.methods.lwf import LwF

KEYS = {"weight": 0.7, "temperature": 2.0, "gradual": 0.0}


@pytest.mark.parametrize("fresh", [False, True])
def test_at_the_start_nothing_is_forgotten(tiny: Any, gradient: Any, fresh: bool) -> None:
    """Then the term is the entropy of the former predictions, and has no gradient."""
    method = tiny.method(LwF, network=tiny.begun(fresh=fresh), **KEYS)
    batch = tiny.batch("target_labelled")
    (objective,) = method.objectives(batch)
    logits = method.former_head(method.network(batch["target_labelled"].x)[0])
    p = (logits / 2).softmax(1)
    assert_close(objective.terms["former"].value, -4 * (p * p.log()).sum(1).mean())
    learning = torch.nn.ModuleList([method.network, method.former_head])
    for derived in gradient(objective.terms["former"].value, learning):
        assert_close(derived, torch.zeros_like(derived), atol=1e-12, rtol=0)
    with torch.no_grad():
        method.former_head[0].bias[0] += 1
    (objective,) = method.objectives(batch)
    at_start = gradient(objective.terms["former"].value, learning)
    assert any(g.abs().max() > 1e-3 for g in at_start)


def test_at_the_weight_that_the_docstring_names_the_term_is_the_paper_s(tiny: Any) -> None:
    """Li and Hoiem, eq. 2 to 4: probabilities to the power 1 / T, brought to sum 1; no T²."""
    method = tiny.method(LwF, network=tiny.begun(), **KEYS | {"weight": 0.25})
    with torch.no_grad():
        method.former_head[0].bias[0] += 1
    batch = tiny.batch("target_labelled")
    (objective,) = method.objectives(batch)
    x = batch["target_labelled"].x
    before, now = (
        head(method.network(x)[0]).softmax(1).sqrt()
        for head in (method.head_before, method.former_head)
    )
    before, now = (p / p.sum(1, keepdim=True) for p in (before, now))
    term = objective.terms["former"]
    assert_close(term.weight * term.value, -(before * now.log()).sum(1).mean())


def test_a_former_head_of_another_kind_is_refused(tiny: Any) -> None:
    with pytest.raises(InputError, match="other layers"):
        tiny.method(LwF, **KEYS)
