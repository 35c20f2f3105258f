"""Tables that a function computes: stated, computed in parts, kept and judged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from da_framework.cli import reproduce
from da_framework.config import plugins
from da_framework.core.errors import InputError
from da_framework.results import computed_table as tables
from da_framework.results.computed_table import (
    compute_table,
    find_computed_tables,
    judge_table,
    load_computed_table,
    read_record,
    render_computed,
)

PANEL: dict[str, Any] = {
    "title": "A quantity",
    "columns": ["a", "b"],
    "rows": {"x": [1.0, 2.0], "y": [10.0, None]},
    "digits": 2,
    "factor": 1.5,
    "tolerance": 0.1,
    "exceptions": {"y/*": {"factor": 1.0}},
    "reason": "nothing",
}
NODE: dict[str, Any] = {
    "title": "Somebody, 2020, table 1",
    "known": "verified",
    "minutes": 0.1,
    "compute": {"_target_": f"{__name__}.numbers", "_partial_": True, "factor": 1.0},
    "quick": {"factor": 2.0},
    "panels": {"one": PANEL},
}
CALLS: list[float] = []


def numbers(keep: Callable[[str, Callable[[], Any]], Any], *, factor: float) -> Any:
    """Figures of a part that is kept."""

    def make() -> list[float]:
        CALLS.append(factor)
        return [1.2 * factor, 3.2 * factor]

    a, b = keep("part", make)
    return {"one": {"x": {"a": a, "b": b}}}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the table mine/table, which an installed package brings."""
    CALLS.clear()
    file = tmp_path / "conf" / "computed_table" / "mine" / "table.yaml"
    file.parent.mkdir(parents=True)
    roots = [*plugins.config_roots(), ("my_da", tmp_path / "conf")]
    monkeypatch.setattr(tables, "config_roots", lambda: roots)
    monkeypatch.setattr(tables, "import_closure", lambda modules: {})
    monkeypatch.chdir(tmp_path)
    file.write_text(yaml.safe_dump(NODE))
    return file


def test_a_cell_is_inside_by_a_factor_and_a_tolerance(mine: Path) -> None:
    table = load_computed_table("mine/table", mine)
    panel = table.panels["one"]
    assert panel.band("x", "b") == pytest.approx((2 / 1.5 - 0.1, 3.1))
    assert panel.band("y", "a") == pytest.approx((9.9, 10.1))
    cells = judge_table(table, compute_table(table))
    verdicts = {(cell.row, cell.column): cell.inside for cell in cells}
    assert verdicts == {("x", "a"): True, ("x", "b"): False, ("y", "a"): None}


def test_a_cell_may_have_a_band_of_its_own(mine: Path) -> None:
    bands = {"x/*": [2.5, 3.2]}
    mine.write_text(yaml.safe_dump(NODE | {"panels": {"one": PANEL | {"bands": bands}}}))
    table = load_computed_table("mine/table", mine)
    panel = table.panels["one"]
    assert panel.band("x", "b") == (2.5, 3.2)
    assert panel.band("y", "a") == pytest.approx((9.9, 10.1))
    cells = judge_table(table, compute_table(table))
    assert [cell.inside for cell in cells] == [False, True, None]


def test_a_negative_value_has_its_band_the_right_way_round(mine: Path) -> None:
    mine.write_text(yaml.safe_dump(NODE | {"panels": {"one": PANEL | {"rows": {"y": [-3, 4]}}}}))
    panel = load_computed_table("mine/table", mine).panels["one"]
    low, high = panel.band("y", "a")
    assert low < -3 < high


def test_what_is_there_is_not_computed_again_and_other_keys_are_another_table(mine: Path) -> None:
    table = load_computed_table("mine/table", mine)
    first = compute_table(table)
    assert compute_table(table) == first
    assert CALLS == [1.0]
    assert compute_table(table, quick=True).figures["one"]["x"]["a"] == 2.4
    whole = next(table.folder.glob("*/figures.json"))
    whole.unlink()  # as an interrupted one leaves it
    compute_table(table)
    assert CALLS == [1.0, 2.0]


def test_a_doubted_cell_has_no_verdict_and_says_why(mine: Path) -> None:
    doubted = PANEL | {"doubted": {"x/b": "a copy of another column"}}
    mine.write_text(yaml.safe_dump(NODE | {"panels": {"one": doubted}}))
    table = load_computed_table("mine/table", mine)
    record = compute_table(table)
    text = render_computed(table, record)
    assert "| x | 1.20 / 1.00 | 3.20 / 2.00 |" in text
    assert "✗ |" not in text
    assert "Without a verdict: x/b: a copy of another column." in text
    assert "1 of 1 cells inside (nothing); 1 not computed." in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": {"x": [1.0]}}, r"panels\.one\.rows\.x: 1 values for 2 columns"),
        ({"exceptions": {"z/*": {}}}, r"panels\.one: no cell is z/\*"),
        ({"exceptions": {"x/*": {"width": 1.0}}}, r"there is no width"),
        (
            {"bands": {"x/a": [2, 1]}},
            r"panels\.one\.bands\.x/a: \[2, 1\] is not \[lowest, highest\]",
        ),
        ({"bands": {"z/a": [1, 2]}}, r"panels\.one: no cell is z/a"),
        ({"factor": 0.5}, r"panels\.one\.factor: input should be greater than or equal to 1"),
        ({"colums": []}, r"panels\.one\.colums: there is no such key; did you mean columns"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    mine: Path, changes: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine.write_text(yaml.safe_dump(NODE | {"panels": {"one": PANEL | changes}}))
    with pytest.raises(InputError, match=says):
        load_computed_table("mine/table", mine)
    assert "mine/table" not in find_computed_tables()
    assert "skipped: " in capsys.readouterr().err


def test_it_is_reproduced_by_command(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):  # a cell is outside, and one is not computed
        reproduce.main(["mine/table"])
    assert "3.20 / 2.00 ✗" in capsys.readouterr().out
    reproduce.main(["mine/table", "--quick"])
    out = capsys.readouterr().out
    assert "No verdict: --quick computes it with factor=2.0." in out
    assert "✗" not in out
    with pytest.raises(SystemExit):
        reproduce.main(["mine/table", "--record"])
    kept = mine.parents[2] / "experiments" / "mine" / "table.recorded.json"
    assert read_record(kept).figures["one"]["x"]["a"] == 1.2
    assert CALLS == [1.0, 2.0]
    capsys.readouterr()
    reproduce.main(["--list"])
    assert "Somebody, 2020, table 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seeds", "1"], "--seeds: mine/table is computed as a whole"),
        (["steps=3"], "steps=3: mine/table is computed as a whole"),
        (["--quick", "--record"], "--record: whole tables"),
    ],
)
def test_options_of_trained_tables_are_refused(mine: Path, options: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        reproduce.main(["mine/table", *options])


def test_a_damaged_record_is_said(mine: Path) -> None:
    table = load_computed_table("mine/table", mine)
    compute_table(table)
    whole = next(table.folder.glob("*/figures.json"))
    whole.write_text(json.dumps({"figures": 3}))
    with pytest.raises(InputError, match="remove it: it is made again"):
        compute_table(table)
    whole.write_text("{")
    with pytest.raises(InputError, match="damaged"):
        compute_table(table)


def test_every_table_of_ours_can_be_read() -> None:
    found = find_computed_tables()
    assert {"alexandari_2020/mnist", "logme_2021/model_ranking"} <= found.keys()
    for table in found.values():
        assert all(low < high for low, high in bands(table))


def bands(table: tables.ComputedTable) -> list[tuple[float, float]]:
    return [table.panels[name].band(row, column) for name, row, column in table.cells]
