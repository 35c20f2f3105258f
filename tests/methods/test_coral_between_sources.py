from itertools import combinations
from typing import Any

import pytest
from torch.testing import assert_close

from da_framework.losses.coral import coral
from da_framework.methods.coral_between_sources import CORALBetweenSources

KEYS: dict[str, Any] = {"weight": 0.7, "ramp": 1.0, "metric": "euclidean", "ridge": 0.01}


@pytest.mark.parametrize("sources", [2, 3])
def test_it_is_the_mean_distance_of_every_two_sources(tiny: Any, sources: int) -> None:
    method = tiny.method(CORALBetweenSources, domains=sources + 1, **KEYS)
    batch = tiny.batch("source", domains=sources + 1)
    (objective,) = method.objectives(batch)
    features, _ = method.network(batch["source"].x)
    parts = [features[batch["source"].domain == number] for number in range(sources)]
    distances = [coral(first, second) for first, second in combinations(parts, 2)]
    assert len(distances) == (1 if sources == 2 else 3)
    term = objective.terms["coral"]
    assert_close(term.value, sum(distances) / len(distances))
    assert term.weight == 0.7


def test_a_batch_of_one_source_is_at_no_distance(tiny: Any) -> None:
    method, batch = tiny.method(CORALBetweenSources, domains=4, **KEYS), tiny.batch("source")
    (objective,) = method.objectives(batch)
    assert objective.terms["coral"].value == 0
