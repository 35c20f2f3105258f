"""A paper's table: what is run, what is shown, and when it ends with 1."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from da_framework import report, reproduce
from da_framework.errors import InputError
from da_framework.reproduce import (
    Table,
    by_cell,
    markdown,
    reproduced,
    spread,
    tables,
    within,
)

PAPER = {
    "title": "Somebody, 2020, table 1",
    "known": "verified",
    "tolerance": 1.5,
    "reason": "five seeds",
    "baseline": "source_only",
    "columns": ["a-b", "b-a"],
    "rows": {"source_only": [60.0, 50.0], "dann": [70.0, None]},
}


def table(tmp_path: Path, **paper: Any) -> Table:
    return Table("some/table", PAPER | paper, tmp_path / "runs", tmp_path / "table.yaml")


def record(
    method: str, accuracy: float, *, seed: int = 1, pair: str = "a-b", steps: int = 9
) -> Any:
    source, target = pair.split("-")
    return {
        "command": f"da train method={method} steps={steps}",
        "choices": {"method": method},
        "config": {"seed": seed, "steps": steps, "method": {}, "dataset": {}},
        "domains": {"source": [source], "target": [target]},
        "target": {pick: {"accuracy": accuracy} for pick in ("last", "chosen", "oracle")},
        "seconds": {},
        "code": "",
        "environment": {},
    }


def test_a_row_may_have_a_band_of_its_own(tmp_path: Path) -> None:
    own = table(tmp_path, bands={"dann": [60, 66], "source_only": [40, 100]})
    runs = [record("source_only", 0.45), record("dann", 0.66), record("dann", 0.67, pair="b-a")]
    assert [cell.inside for cell in reproduced(own, runs)] == [True, None, True]
    text = markdown(own, reproduced(own, runs))
    assert (
        "2 of 2 cells within dann 60 to 66, source_only 40 to 100 (five seeds); 1 not run" in text
    )
    worse = reproduced(own, [record("dann", 0.661)])
    assert [cell.inside for cell in worse] == [None, None, False]


def test_a_cell_is_judged_by_the_mean_over_seeds(tmp_path: Path) -> None:
    runs = [
        *(record("source_only", 0.60 + 0.01 * seed, seed=seed) for seed in (1, 2)),
        *(record("dann", 0.66 + 0.02 * seed, seed=seed) for seed in (1, 2)),
        record("source_only", 0.30, pair="b-a"),
    ]
    base, reverse, dann = reproduced(table(tmp_path), runs)
    assert (base.row, base.column, base.inside, base.gain) == ("source_only", "a-b", True, None)
    assert (reverse.row, reverse.column, reverse.inside) == ("source_only", "b-a", False)
    assert (dann.row, dann.inside, len(dann.runs)) == ("dann", True, 2)
    assert dann.gain == pytest.approx((68 - 61 + 70 - 62) / 2)
    text = markdown(table(tmp_path), [base, reverse, dann])
    assert (
        "| `dann` | a-b | 70.00 |  | 69.00 ± 12.71 | 69.00 | 69.00 | +7.50 | 2 | inside |" in text
    )
    assert "2 of 3 cells within 1.5 points (five seeds); 0 not run." in text
    assert "values are verified" in text


def test_what_was_not_run_has_no_verdict_and_what_was_recorded_is_shown(tmp_path: Path) -> None:
    kept = [record("dann", 0.5)]
    (tmp_path / "table.recorded.json").write_text(json.dumps(kept))
    cells = reproduced(table(tmp_path), [])
    assert [cell.inside for cell in cells] == [None, None, None]
    assert cells[-1].recorded == 50.0
    assert "| `dann` | a-b | 70.00 | 50.00 |  |  |  |  | 0 | not run |" in markdown(
        table(tmp_path), cells
    )


def test_runs_of_one_cell_differ_in_their_seeds_alone() -> None:
    assert len(by_cell([record("dann", 0.5, seed=1), record("dann", 0.6, seed=2)])) == 1
    with pytest.raises(
        InputError, match=r"\(steps: 9 and 10\): .* steps=9 and da train method=dann steps=10"
    ):
        by_cell([record("dann", 0.5), record("dann", 0.5, seed=2, steps=10)])


def test_each_seed_may_go_on_from_its_own_run() -> None:
    runs = [record("dann", 0.5, seed=seed) for seed in (1, 2)]
    for run in runs:
        run["config"]["init_from"] = f"runs/start/seed_{run['config']['seed']}"
    assert len(by_cell(runs)) == 1
    runs[1]["config"]["init_from"] = "runs/other/seed_2"
    with pytest.raises(InputError, match="differ in more than their seeds"):
        by_cell(runs)


@pytest.mark.parametrize(
    ("mean", "paper", "tolerance", "good"),
    [(44.7781, 44.78, 0.0, True), (44.786, 44.78, 0.0, False), (45.1, 44.6, 0.5, True)],
)
def test_the_band_is_of_rounded_figures(
    mean: float, paper: float, tolerance: float, good: bool
) -> None:
    assert within(mean, (paper - tolerance, paper + tolerance)) == good


def test_a_mean_of_several_has_its_interval() -> None:
    assert spread([50.0]) == "50.00"
    assert spread([50.0, 52.0, 54.0]) == "52.00 ± 4.97"


def test_every_table_is_whole() -> None:
    assert "jda_2013/office_caltech10" in tables()
    for own in tables().values():
        paper = own.paper
        assert {"title", "known", "reason", "columns", "rows"} <= paper.keys()
        assert "tolerance" in paper or paper["bands"].keys() == paper["rows"].keys()
        assert all(len(values) == len(paper["columns"]) for values in paper["rows"].values())
        assert paper.get("baseline", next(iter(paper["rows"]))) in paper["rows"]
        assert not any(stage.paper or stage.folder == own.folder for stage in own.first)


def test_what_comes_first_is_run_first_without_what_is_the_table_s_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, list[str]]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproduce, "run", lambda own, overrides: ran.append((own.name, overrides)))
    gathered = {
        "multirun/shot_2020-digits_source": record("source_only", 0.9, pair="usps-mnist"),
        "multirun/shot_2020-digits": record("shot", 0.97, pair="usps-mnist"),
    }
    monkeypatch.setattr(report, "gather", lambda folders: [gathered[str(f)] for f in folders])
    Path("multirun/shot_2020-digits").mkdir(parents=True)
    reproduce.main(["shot_2020/digits", "seed=1", "method.weight=0.5", "hydra.sweep.dir=x"])
    assert ran == [
        ("shot_2020/digits_source", ["seed=1"]),
        ("shot_2020/digits", ["seed=1", "method.weight=0.5", "hydra.sweep.dir=x"]),
    ]
    assert "| 97.00 | 97.00 | 97.00 | +7.00 | 1 | inside |" in capsys.readouterr().out


def test_a_second_stage_begins_where_the_first_writes() -> None:
    table = tables()["shot_2020/digits"]
    (stage,) = table.first
    first: Any = OmegaConf.to_container(OmegaConf.load(stage.file))
    second: Any = OmegaConf.to_container(OmegaConf.load(table.file))
    assert second["init_from"] == "{dir}/{subdir}".format(**first["hydra"]["sweep"])


def test_a_table_is_reproduced_and_continued(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick cells of a real one; a second call runs nothing."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    ended = da("reproduce", "jda_2013/digits_baselines", "--quick", "method=pca")
    assert ended.code == 0, ended
    assert "| `pca` | mnist-usps | 66.22 |" in ended.out
    assert "1 of 1 cells within 0.0 points" in ended.out
    (file,) = da.folder.rglob("result.json")
    written = file.stat().st_mtime_ns
    assert da("reproduce", "jda_2013/digits_baselines", "--quick", "method=pca").code == 0
    assert file.stat().st_mtime_ns == written
    found = json.loads(file.read_text())
    found["target"]["last"]["accuracy"] = 0.5
    file.write_text(json.dumps(found))
    ended = da("reproduce", "jda_2013/digits_baselines", "--quick", "method=pca")
    assert ended.code == 1
    assert "OUTSIDE" in ended.out


def test_what_cannot_be_reproduced_is_said(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    ended = da("reproduce", "jda_2013/objects")
    assert ended.code == 2
    assert "the tables are cdan_2018/digits, dann_2016/digits, " in ended.err
    ended = da("reproduce", "jda_2013/digits", "method=no_such")
    assert ended.code == 2
    assert "reproduce.log" in ended.err
    listed = da("reproduce", "--list").out
    assert "jda_2013/office_caltech10: Long et al., ICCV 2013" in listed
