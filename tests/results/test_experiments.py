"""What an experiment states of a paper: all of it is held against itself before anything is run."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from da_framework.config import plugins as listing
from da_framework.core.errors import InputError
from da_framework.results import experiments as tables
from da_framework.results.experiments import PaperTable, load_experiment, sweep_values

NODE: dict[str, Any] = {
    "hydra": {
        "sweep": {"dir": "multirun/mine"},
        "sweeper": {"params": {"method": "source_only,dann", "seed": "range(1,3)"}},
    },
    "paper": {
        "title": "Somebody, 2020, table 1",
        "known": "verified",
        "columns": ["a-b", "b-a"],
        "rows": {"source_only": [60, 50.5], "dann": [70.0, None]},
        "tolerance": 1.5,
    },
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the experiment mine/table, which an installed package brings."""
    file = tmp_path / "experiments" / "mine" / "table.yaml"
    file.parent.mkdir(parents=True)
    roots = [*listing.config_roots(), ("my_da", tmp_path)]
    monkeypatch.setattr(tables, "config_roots", lambda: roots)
    return file


def write(file: Path, **paper: Any) -> None:
    """The experiment with these keys of its paper in place of its own; ``None`` takes one away."""
    stated = {key: own for key, own in (NODE["paper"] | paper).items() if own is not None}
    file.write_text(yaml.safe_dump(NODE | {"paper": stated}))


def test_a_table_may_come_with_a_package(mine: Path) -> None:
    write(mine)
    table = tables.find_tables()["mine/table"]
    assert (table.folder, table.seeds) == (Path("multirun/mine"), [1, 2])
    assert table.cells == {
        ("source_only", "a-b"): 60.0,
        ("source_only", "b-a"): 50.5,
        ("dann", "a-b"): 70.0,
    }
    assert table.kept == mine.with_name("table.recorded.json")


def test_the_table_that_is_shown_to_those_who_write_one_is_one(mine: Path) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    shown = next(
        table for table in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "paper:" in table
    )
    mine.write_text(shown)
    table = load_experiment("mine/table")
    assert isinstance(table, PaperTable)
    assert len(table.cells) == 3


@pytest.mark.parametrize(
    ("paper", "says"),
    [
        ({"title": None}, r"paper\.title: missing"),
        ({"titel": "a"}, r"paper\.titel: there is no such key; did you mean title\?"),
        ({"rows": {}}, r"paper\.rows and paper\.columns: a table has at least one"),
        ({"rows": {"dann": [1.0, 2.0, 3.0]}}, "dann of rows has 3 values for 2 columns"),
        ({"rows": {"dann": ["65%", 2.0]}}, r"paper\.rows\.dann\.0: .* but it is '65%'"),
        ({"rows": {"dann": 65.0}}, r"paper\.rows\.dann: .* valid list, but it is 65\.0"),
        ({"rows": {"mmd": [1.0, 2.0]}}, r"paper\.rows: no hydra\.sweeper\.params\.method has mmd"),
        ({"columns": ["a-b", "real-photo-b"]}, "real-photo-b is not source-target"),
        ({"tolerance": None}, r"tolerance is missing, and paper\.bands has none for dann, source"),
        ({"tolerance": -1}, r"paper\.tolerance: .* greater than or equal to 0"),
        ({"tolerance": "wide"}, r"paper\.tolerance: .* but it is 'wide'"),
        ({"bands": {"dann": [80, 20]}}, r"paper\.bands\.dann: \[80, 20\] is not \[lowest"),
        ({"bands": {"dann": [1, 2, 3]}}, r"is not \[lowest, highest\]"),
        ({"bands": {"mmd": [1, 2]}}, r"paper\.bands: there is no row mmd; there are dann"),
        ({"baseline": "mmd"}, r"paper\.baseline: there is no row mmd"),
        ({"beside": {"Others": {"dann": [1.0]}}}, "dann of Others has 1 values for 2 columns"),
        ({"measure": "kappa"}, r"paper\.measure: .* but it is 'kappa'"),
        ({"first": ["mine/none"]}, "there is no experiment mine/none"),
        ({"first": ["mine/table"]}, r"paper\.first: mine/table states values of its own"),
        ({"verdict": "mean", "beside": {"Others": {}}}, r"paper\.verdict: mean goes with"),
    ],
)
def test_what_cannot_be_a_table_is_said_in_a_line_and_spoils_no_other(
    mine: Path, capsys: pytest.CaptureFixture[str], paper: dict[str, Any], says: str
) -> None:
    write(mine, **paper)
    with pytest.raises(InputError, match=says) as wrong:
        load_experiment("mine/table")
    assert str(mine) in str(wrong.value) or "mine/none" in says
    assert "mine/table" not in tables.find_tables()
    assert f"skipped: {wrong.value}" in capsys.readouterr().err
    assert isinstance(load_experiment("jda_2013/digits"), PaperTable)


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "paper: {title: a}\n", "paper: 3\n"])
def test_nor_does_a_damaged_file(mine: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    mine.write_text(text)
    assert "jda_2013/digits" in tables.find_tables()
    error = capsys.readouterr().err
    assert error.startswith(f"skipped: {mine}") if text else not error


def test_an_experiment_without_a_table_needs_no_sweep(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine.write_text("steps: 3\n")
    assert "mine/table" not in tables.find_tables()
    assert not capsys.readouterr().err


def test_a_seed_is_a_number(mine: Path) -> None:
    write(mine)
    mine.write_text(mine.read_text().replace("range(1,3)", "1,two"))
    with pytest.raises(InputError, match=r"params\.seed: two is no seed"):
        load_experiment("mine/table")


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (None, []),
        (1, ["1"]),
        ("1,2", ["1", "2"]),
        ("range(1,4)", ["1", "2", "3"]),
        ("choice(a,b)", ["a", "b"]),
        ("[a,b],[b,a]", ["[a,b]", "[b,a]"]),
    ],
)
def test_a_sweep_goes_through_what_hydra_does(written: Any, values: list[str]) -> None:
    assert sweep_values(written) == values
