from typing import Any

import torch
from torch.testing import assert_close

from da_framework.methods.bss import BSS


def test_adds_the_smallest_singular_value_of_the_rows_taken_once(tiny: Any) -> None:
    method = tiny.method(BSS, weight=0.5, smallest=1, gradual=0.0)
    rows = tiny.samples("target_labelled", rows=3)
    twice = rows.at(torch.tensor([2, 0, 1, 0, 2]))
    (objective,) = method.objectives({"target_labelled": twice})
    features, _ = method.network(rows.x)
    expected = torch.linalg.svdvals(features).min().square()
    assert expected > 1e-6
    assert_close(objective.terms["shrinkage"].value, expected)
    assert objective.terms["shrinkage"].weight == 0.5
