"""All tables of papers at once: what is counted as exact, inside and outside."""

import re
from pathlib import Path
from typing import Any

import pytest

from da_framework.results import overview
from da_framework.results.computed_table import Panel
from da_framework.results.experiments import PaperTable
from da_framework.results.overview import (
    Overview,
    count_all,
    list_overviews,
    overview_lines,
    overview_trained,
)
from da_framework.results.reproduction import record_table
from tests.run_records import paper_table, reproduced_record

ONE = Overview("p/t", "A paper", ["a"], 9, 8, 3, 2, 1, "0.5", "recalled", "2031", "it is so")


def test_what_is_recorded_is_counted_by_its_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [reproduced_record("dann", 0.7), reproduced_record("source_only", 0.5)]
    for tolerance, counts in ((0.05, (1, 0, 1)), (1.0, (0, 1, 1)), (20.0, (0, 2, 0))):
        table = paper_table(tmp_path, tolerance=tolerance)
        monkeypatch.setattr(PaperTable, "recorded", runs)
        counted = overview_trained(table)
        assert (counted.exact, counted.inside, counted.outside) == counts
        assert counted.recorded == 2
    assert overview_trained(paper_table(tmp_path)).values == len(paper_table(tmp_path).cells)


def test_inside_by_half_a_unit_is_not_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 69.95 would be printed as 70.0, and 69.949 as 69.9
    for accuracy, counts in (
        (0.6995, (1, 0)),
        (0.70049, (1, 0)),
        (0.6994, (0, 0)),
        (0.7005, (0, 1)),
    ):
        monkeypatch.setattr(PaperTable, "recorded", [reproduced_record("dann", accuracy)])
        counted = overview_trained(paper_table(tmp_path, tolerance=0.05))
        assert (counted.exact, counted.inside) == counts, accuracy


def test_the_cost_of_a_table_is_the_processors_time(tmp_path: Path) -> None:
    new = reproduced_record("dann", 0.5) | {"seconds": {"all": 900.0, "cpu": 300.0}}
    stated = paper_table(tmp_path)
    assert overview_trained(stated).minutes == "not known"
    record_table(stated, [new, reproduced_record("dann", 0.5, seed=2)])
    assert overview_trained(paper_table(tmp_path)).minutes == "6.5"


def test_bands_make_no_table_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PaperTable, "recorded", [reproduced_record("dann", 0.7)])
    table = paper_table(tmp_path, tolerance=0.0, bands={"dann": [70.0, 70.0]})
    assert overview_trained(table).exact == 0
    assert overview_trained(table).inside == 1


def test_a_computed_value_is_exact_within_half_a_unit_alone() -> None:
    keys: dict[str, Any] = {"title": "A", "columns": ["a"], "rows": {"x": [2.0]}, "reason": "r"}
    for digits, tolerance, exact in ((2, 0.005, True), (2, 0.006, False), (3, 0.005, False)):
        panel = Panel(**keys, digits=digits, tolerance=tolerance)
        assert panel.is_exact("x", "a") is exact
    assert not Panel(**keys, digits=2, factor=1.1).is_exact("x", "a")


def test_all_together_are_told_in_numbers_and_a_table_with_what_it_says() -> None:
    none = ONE._replace(name="q/t", recorded=0, exact=0, inside=0, outside=0, finding="")
    assert count_all([ONE, none]) == (
        "1 of 2 tables are recorded, 8 of their values: 3 equal the paper's in every printed "
        "digit, and of the verdicts within stated bounds 2 are inside and 1 outside."
    )
    lines = list(overview_lines([ONE, none], {"p": "experiments/p/index.md"}))
    assert lines[2] == "| [`p/t`](experiments/p/index.md) | 9 | 8 | 3 | 2 | 1 | 0.5 |"
    assert lines[3] == "| `q/t` | 9 | 0 | 0 | 0 | 0 | 0.5 |"
    assert lines[4:] == ["\n**A paper** (`p/t`, recalled): it is so."]
    assert (ONE.verdict, none.verdict) == ("3 exact, 2 inside, 1 outside", "")


def test_every_recorded_table_says_something_and_types_no_number() -> None:
    tables = list_overviews()
    for table in tables:
        assert bool(table.finding) == bool(table.recorded), table.name
        assert not re.search(r"\d", table.finding), table.name
    recorded = [table for table in tables if table.recorded]
    assert len(recorded) >= 15
    assert sum(table.recorded for table in recorded) >= 700
    assert sum(table.exact for table in recorded) >= 180
    assert overview.NOT_RECORDED in {table.origin for table in tables}
