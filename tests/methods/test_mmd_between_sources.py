from typing import Any

import torch
from torch.testing import assert_close

from da_framework.methods.mmd import MMD
from da_framework.methods.mmd_between_sources import MMDBetweenSources

KEYS: dict[str, Any] = {
    **{"weight": 0.7, "ramp": 1.0, "estimator": "biased", "bandwidth": "mean"},
    "factors": [0.5, 1.0],
}


def test_of_two_sources_it_is_the_discrepancy_of_source_and_target(tiny: Any) -> None:
    between, batch = tiny.method(MMDBetweenSources, domains=3, **KEYS), tiny.batch(domains=3)
    source = between.outputs(batch)["source"]
    first, second = (
        type(source)(*(field[source.domain == number] for field in source)) for number in range(2)
    )
    expected = tiny.method(MMD, **KEYS).terms(first, second)["mmd"]
    actual = between.method_terms({"source": source})["mmd"]
    assert torch.equal(actual.value, expected.value)
    assert expected.value > 0.01


def test_of_three_sources_it_is_the_mean_over_the_pairs(tiny: Any) -> None:
    method, batch = tiny.method(MMDBetweenSources, domains=4, **KEYS), tiny.batch(domains=4)
    source = method.outputs(batch)["source"]
    pairs = []
    for pair in ((0, 1), (0, 2), (1, 2)):
        rows = torch.isin(source.domain, torch.tensor(pair))
        own = type(source)(*(field[rows] for field in source))
        pairs.append(method.method_terms({"source": own})["mmd"].value)
    assert_close(method.method_terms({"source": source})["mmd"].value, sum(pairs) / 3)


def test_nothing_is_said_of_source_and_target(tiny: Any) -> None:
    method, batch = tiny.method(MMDBetweenSources, domains=3, **KEYS), tiny.batch("source")
    assert list(method.warnings(method.outputs(batch))) == []
