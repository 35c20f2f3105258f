"""What the site writes of recorded experiments on the page of every method."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from da_framework.config.catalog import list_group

RECORDED = Path(__file__).parents[1] / "docs" / "recorded.py"


@pytest.fixture(scope="module")
def recorded() -> Any:
    spec = spec_from_file_location("recorded", RECORDED)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_method_has_a_table_of_what_is_recorded_or_none(recorded: Any) -> None:
    tables = {name: recorded.recorded_table(name) for name, _, _ in list_group("method")}
    assert tables["dann"].startswith("## Recorded experiments\n")
    assert not tables["structural_noise"]


def test_a_record_of_unknown_samples_is_in_no_table(recorded: Any) -> None:
    known = {
        "choices": {"method": "dann"},
        "config": {"seed": 1, "dataset": {}},
        "target": {"last": {"accuracy": 1.0}},
    }
    unknown = {**known, "config": {"seed": 1}}
    assert [*recorded.known_runs([known, unknown, {"rank": 1}])] == [known]
