"""A paper's table as reproduced: its cells and what is shown of them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from da_framework.config.schema import check_config
from da_framework.config.settings import Settings
from da_framework.core.errors import InputError
from da_framework.results.experiments import Paper, PaperTable, find_tables
from da_framework.results.reproduction import (
    describe_provenance,
    format_mean,
    group_by_column,
    is_within,
    judge_cells,
    record_table,
    render_reproduction,
)
from da_framework.training.build import compose
from tests.run_records import SWEEP_PARAMS, paper_table, reproduced_record

TABLES = find_tables()


def test_a_row_may_have_a_band_of_its_own(tmp_path: Path) -> None:
    stated = paper_table(tmp_path, bands={"dann": [60, 66], "source_only": [40, 100]})
    runs = [
        reproduced_record("source_only", 0.45),
        reproduced_record("dann", 0.66),
        reproduced_record("dann", 0.67, pair="b-a"),
    ]
    assert [cell.inside for cell in judge_cells(stated, runs)] == [True, None, True]
    text = render_reproduction(stated, judge_cells(stated, runs))
    assert (
        "2 of 2 cells within dann 60 to 66, source_only 40 to 100 (five seeds); 1 not run" in text
    )
    some = paper_table(tmp_path, bands={"dann": [60, 66]})
    assert "1 of 2 cells within dann 60 to 66, 1.5 points (" in render_reproduction(
        some, judge_cells(some, runs)
    )
    worse = judge_cells(stated, [reproduced_record("dann", 0.661)])
    assert [cell.inside for cell in worse] == [None, None, False]


def test_a_cell_is_judged_by_the_mean_over_seeds(tmp_path: Path) -> None:
    runs = [
        *(reproduced_record("source_only", 0.60 + 0.01 * seed, seed=seed) for seed in (1, 2)),
        *(reproduced_record("dann", 0.66 + 0.02 * seed, seed=seed) for seed in (1, 2)),
        reproduced_record("source_only", 0.30, pair="b-a"),
    ]
    base, reverse, dann = judge_cells(paper_table(tmp_path), runs)
    assert (base.row, base.column, base.inside, base.gain) == ("source_only", "a-b", True, None)
    assert (reverse.row, reverse.column, reverse.inside) == ("source_only", "b-a", False)
    assert (dann.row, dann.inside, len(dann.runs)) == ("dann", True, 2)
    assert dann.gain == pytest.approx((68 - 61 + 70 - 62) / 2)
    text = render_reproduction(paper_table(tmp_path), [base, reverse, dann])
    assert (
        "| `dann` | a-b | 70.00 |  | 69.00 (68.00, 70.00) | 69.00 | 69.00 | +7.50 | 2 | inside |"
        in text
    )
    assert "2 of 3 cells within 1.5 points (five seeds); 0 not run." in text
    assert "values are verified" in text


def test_what_was_not_run_has_no_verdict_and_what_was_recorded_is_shown(tmp_path: Path) -> None:
    kept = [reproduced_record("dann", 0.5)]
    (tmp_path / "table.recorded.json").write_text(json.dumps(kept))
    cells = judge_cells(paper_table(tmp_path), [])
    assert [cell.inside for cell in cells] == [None, None, None]
    assert cells[-1].recorded == 50.0
    text = render_reproduction(paper_table(tmp_path), cells)
    assert "| `dann` | a-b | 70.00 | 50.00 |  |  |  |  | 0 | not run |" in text
    assert text.endswith("\n\nRecorded: 2031-02-03; torch 2.0; code 01234567.")


def test_a_cell_without_all_its_seeds_is_marked(tmp_path: Path) -> None:
    runs = [
        reproduced_record("dann", 0.7),
        *(reproduced_record("source_only", 0.6, seed=seed) for seed in (1, 2)),
    ]
    text = render_reproduction(paper_table(tmp_path), judge_cells(paper_table(tmp_path), runs))
    assert "| `dann` | a-b | 70.00 |  | 70.00† | 70.00 | 70.00 | +10.00 | 1† | inside |" in text
    assert "\n\n†: fewer seeds than the experiment states (1, 2)" in text
    assert text.count("†") == 3
    assert "†" not in render_reproduction(
        paper_table(tmp_path), judge_cells(paper_table(tmp_path), runs[1:])
    )


def test_what_a_record_does_not_say_is_not_known(tmp_path: Path) -> None:
    old: Any = {
        name: stated
        for name, stated in reproduced_record("dann", 0.5).items()
        if name != "finished"
    }
    new = reproduced_record("dann", 0.5, seed=2)
    new["environment"] = {"versions": {"torch": "2.1", "da_framework": "1.0"}}
    assert describe_provenance([old]) == "date not known; torch 2.0; code 01234567"
    assert describe_provenance([old, new]) == (
        "2031-02-03, date not known; torch 2.0, 2.1; da_framework 1.0; code 01234567"
    )


def test_a_table_may_show_the_last_readings_and_what_others_found(tmp_path: Path) -> None:
    others = {"Others": {"dann": [66.0, None]}}
    runs = [reproduced_record("dann", 0.7), reproduced_record("dann", 0.7, seed=2)]
    stated = paper_table(tmp_path, readings=2, beside=others)
    text = render_reproduction(stated, judge_cells(stated, runs))
    assert "| row | cell | paper | Others | recorded | ours, last | mean of the last 2 |" in text
    # (60 + 70) / 2; the untrained model's reading is none of them
    late = "70.00 (70.00, 70.00) | 65.00 (65.00, 65.00)"
    assert f"| `dann` | a-b | 70.00 | 66.00 |  | {late} | 70.00 |" in text
    assert "| `source_only` | a-b | 60.00 |  |  |  |  |  |" in text
    more = paper_table(tmp_path, readings=3)
    assert "| 70.00 (70.00, 70.00) |  | 70.00 |" in render_reproduction(
        more, judge_cells(more, runs)
    )


def test_what_is_recorded_keeps_its_readings_and_is_drawn(tmp_path: Path) -> None:
    runs = [reproduced_record("dann", 0.7), reproduced_record("other", 0.7)]
    run: Any = {name: value for name, value in runs[0].items() if name != "readings"}
    curve = [{"step": 0, "oracle/accuracy": 0.9}, {"step": 4, "lr": 1.0}]
    record_table(paper_table(tmp_path, readings=2), [run | {"curve": curve}, runs[1]])
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    kept = paper_table(tmp_path).recorded
    assert [run["readings"] for run in kept] == [[[0, 0.9]], runs[1]["readings"]]
    assert kept[0]["finished"] == run["finished"]
    (tmp_path / "table.png").unlink()
    record_table(paper_table(tmp_path), runs)
    assert not (tmp_path / "table.png").exists()


def test_cells_become_the_sweeps_that_make_them_alone(tmp_path: Path) -> None:
    stated = paper_table(tmp_path, rows={"source_only": [60.0, 50.0], "dann": [70.0, 60.0]})
    both = "dataset.pair=[a,b],[b,a]"
    assert stated.sweeps(stated.select_cells(None)) == [["method=source_only,dann", both]]
    assert stated.sweeps(stated.select_cells("dann/b-a")) == [["method=dann", "dataset.pair=[b,a]"]]
    assert stated.sweeps(stated.select_cells("dann/a-b,source_only/a-b,dann/b-a,dann/a-b")) == [
        ["method=dann", both],
        ["method=source_only", "dataset.pair=[a,b]"],
    ]
    assert stated.select_cells("dann/*,*/b-a") == [
        ("dann", "a-b"),
        ("dann", "b-a"),
        ("source_only", "b-a"),
    ]
    for wrong in ("dann/c-a", "mmd/*", "dann", ""):
        with pytest.raises(InputError, match=f"cells {re.escape(wrong)}: .* dann and .* b-a, and"):
            stated.select_cells(f"dann/a-b,{wrong}")
    several = {"method": "dann", "dataset.source": "[a,c],[b]", "dataset.target": "[b],[a]"}
    apart = paper_table(
        tmp_path, params=several, columns=["a+c-b", "b-a"], rows={"dann": [1.0, 2.0]}
    )
    assert apart.sweeps(apart.select_cells(None)) == [
        ["method=dann", "dataset.source=[a,c]", "dataset.target=[b]"],
        ["method=dann", "dataset.source=[b]", "dataset.target=[a]"],
    ]
    single = paper_table(tmp_path, params={"method": "dann,mmd"})
    assert single.sweeps(single.select_cells("dann/a-b,source_only/a-b")) == [["method=dann"]]


def test_runs_of_one_cell_differ_in_their_seeds_alone() -> None:
    assert (
        len(
            group_by_column(
                [reproduced_record("dann", 0.5, seed=1), reproduced_record("dann", 0.6, seed=2)]
            )
        )
        == 1
    )
    with pytest.raises(
        InputError, match=r"\(steps: 9 and 10\): .* steps=9 and da train method=dann steps=10"
    ):
        group_by_column(
            [reproduced_record("dann", 0.5), reproduced_record("dann", 0.5, seed=2, steps=10)]
        )


def test_a_seed_counts_once() -> None:
    twice = [
        reproduced_record("dann", 0.5),
        {**reproduced_record("dann", 0.5), "folder": "elsewhere"},
    ]
    with pytest.raises(
        InputError, match=r"dann, a-b have the seed 1: da train .* and elsewhere; move one away"
    ):
        group_by_column(twice)


def test_each_seed_may_go_on_from_its_own_run() -> None:
    runs = [reproduced_record("dann", 0.5, seed=seed) for seed in (1, 2)]
    for run in runs:
        run["config"]["init_from"] = f"runs/start/seed_{run['config']['seed']}"
    assert len(group_by_column(runs)) == 1
    runs[1]["config"]["init_from"] = "runs/other/seed_2"
    with pytest.raises(InputError, match="differ in more than their seeds"):
        group_by_column(runs)


def tried(method: str, accuracy: float, *, width: int, score: float, **where: Any) -> Any:
    """A run of one setting among several."""
    run = reproduced_record(method, accuracy, **where)
    run["config"]["network"] = {"width": width, "depth": 1}
    run["config"]["validator"] = {"_target_": "here.reverse"}
    run["target"]["chosen"]["score"] = score
    return run


def test_of_the_settings_tried_the_validator_chooses_one_a_cell_and_seed(tmp_path: Path) -> None:
    runs = [
        tried("dann", accuracy, width=width, score=score, seed=seed)
        for seed in (1, 2)
        for width, score, accuracy in ((1, 0.4, 0.9), (2, 0.6 - seed, 0.7), (3, 0.6, 0.6))
    ]
    stated = paper_table(
        tmp_path, tuned=["network.width"], rows={"dann": [65.0, None]}, baseline="dann"
    )
    (cell,) = judge_cells(stated, runs)
    assert [run.figures["last"] for run in cell.runs] == [0.6, 0.6]
    runs[1]["target"]["chosen"]["score"] = 0.61  # of seed 1, width 2
    (cell,) = judge_cells(stated, runs)
    assert [run.figures["last"] for run in cell.runs] == [0.7, 0.6]
    text = render_reproduction(stated, [cell], runs)
    assert "| `dann` | a-b | 65.00 |  | 65.00 (70.00, 60.00) " in text
    assert (
        "Tuned for each cell by `reverse`, without target labels: `dann` over `network.width` 1, "
        "2, 3." in text
    )
    runs[0]["config"]["network"]["depth"] = 2
    with pytest.raises(InputError, match=r"differ in more than their seeds \(network\.depth: "):
        judge_cells(stated, runs)


def test_a_setting_that_was_read_off_the_papers_values_has_no_verdict(tmp_path: Path) -> None:
    runs = [
        tried("dann", accuracy, width=width, score=0.5, pair=pair)
        for pair, width, accuracy in (
            *(("a-b", 1, 0.65), ("a-b", 2, 0.5)),
            *(("b-a", 1, 0.65), ("b-a", 2, 0.5)),
        )
    ]
    keys: Any = {"rows": {"dann": [65.0, 65.0]}, "baseline": "dann"}
    stated = paper_table(tmp_path, read_off={"network.width": [1, 2]}, **keys)
    cells = judge_cells(stated, runs)
    assert [cell.runs[0].figures["last"] for cell in cells] == [0.65, 0.5]
    assert [cell.inside for cell in cells] == [None, None]
    text = render_reproduction(stated, cells, runs)
    assert text.count("| read off |") == 2
    assert (
        "was read off the paper's value in it: `network.width` 1, 2, in the order of the columns. "
        "So 1 of 2 are within 1.5 points; 0 not run." in text
    )
    text = render_reproduction(stated, judge_cells(stated, runs[1:]), runs)
    assert "| `dann` | a-b | 65.00 |  |  |  |  |  | 0 | not run |" in text
    for wrong, message in (
        ({"read_off": {"network.width": [1]}}, "has 1 values for 2 columns"),
        ({"read_off": {"network.width": [1, 2]}, "tuned": ["seed"]}, "goes with neither"),
    ):
        assert message in " ".join(paper_table(tmp_path, **wrong, **keys).paper.problems())


def test_a_verdict_may_be_on_the_mean_of_a_row_alone(tmp_path: Path) -> None:
    stated = paper_table(
        tmp_path,
        verdict="mean",
        rows={"source_only": [60.0, 50.0], "dann": [70.0, 60.0]},
        params=SWEEP_PARAMS | {"seed": "1"},
    )
    runs = [
        *(reproduced_record("source_only", 0.5, pair=pair) for pair in ("a-b", "b-a")),
        *(
            reproduced_record("dann", accuracy, pair=pair)
            for pair, accuracy in (("a-b", 0.8), ("b-a", 0.51))
        ),
    ]
    text = render_reproduction(stated, judge_cells(stated, runs))
    assert "| `dann` | a-b | 70.00 |  | 80.00 | 80.00 | 80.00 | +30.00 | 1 |  |" in text
    assert "| `dann` | mean | 65.00 |  | 65.50 | 65.50 | 65.50 | +15.50 | 1 | inside |" in text
    assert "| `source_only` | mean | 55.00 |  | 50.00 | 50.00 | 50.00 |  | 1 | OUTSIDE |" in text
    assert "1 of 2 cells within 1.5 points (five seeds); 0 not run." in text
    text = render_reproduction(stated, judge_cells(stated, runs[:3]))
    assert "| `dann` | b-a | 60.00 |  |  |  |  |  | 0 | not run |" in text
    assert "| `dann` | mean" not in text, "one cell is no mean"
    text = render_reproduction(stated, judge_cells(stated, runs[:2]))
    assert "| `dann` | mean | 65.00 |  |  |  |  |  | 0 | not run |" in text


def test_means_of_rows_may_be_judged_beside_their_cells(tmp_path: Path) -> None:
    stated = paper_table(
        tmp_path,
        mean_tolerance=1.0,
        rows={"source_only": [60.0, 50.0], "dann": [70.0, 60.0]},
        params=SWEEP_PARAMS | {"seed": "1"},
    )
    runs = [
        reproduced_record("dann", accuracy, pair=pair)
        for pair, accuracy in (("a-b", 0.714), ("b-a", 0.612))
    ]
    runs.append(reproduced_record("source_only", 0.7, pair="a-b"))
    inside = {(cell.row, cell.column): cell.inside for cell in judge_cells(stated, runs)}
    assert inside == {
        ("source_only", "a-b"): False,
        ("source_only", "b-a"): None,
        ("dann", "a-b"): True,
        ("dann", "b-a"): True,
        ("dann", "mean"): False,  # by 1.3 points, of two cells that are each inside
    }
    text = render_reproduction(stated, judge_cells(stated, runs))
    assert "2 of 4 cells within 1.5 points, 1.0 of means (five seeds); 1 not run." in text


def test_a_mean_tolerance_goes_with_cells_alone() -> None:
    keys: dict[str, Any] = {"title": "t", "known": "k", "columns": ["a-b"], "rows": {"dann": [1.0]}}
    stated = Paper(**keys, tolerance=1.0, mean_tolerance=1.0, verdict="mean")
    assert [*stated.problems()] == [
        "paper.mean_tolerance goes with a tolerance, and with no verdict, bands or beside"
    ]


def test_a_mean_of_some_columns_is_held_beside_the_papers_of_the_same(tmp_path: Path) -> None:
    stated = paper_table(
        tmp_path,
        verdict="mean",
        columns=["a-b", "b-a", "b-c"],
        rows={"source_only": [60.0, 50.0, 10.0], "dann": [70.0, 60.0, 20.0]},
        params=SWEEP_PARAMS | {"seed": "1"},
    )
    record_table(
        stated,
        [
            reproduced_record("dann", value, pair=pair)
            for pair, value in (("a-b", 0.8), ("b-a", 0.6), ("b-c", 0.1))
        ],
    )
    runs = [reproduced_record("dann", 0.66, pair=pair) for pair in ("a-b", "b-a")]
    runs += [reproduced_record("source_only", 0.5, pair=pair) for pair in ("a-b", "b-a", "b-c")]
    text = render_reproduction(stated, judge_cells(stated, runs))
    assert (
        "| `dann` | mean of 2 | 65.00 | 70.00 | 66.00 | 66.00 | 66.00 | +16.00 | 1 | inside |"
        in text
    )
    assert "| `source_only` | mean | 40.00 |  | 50.00 | " in text
    assert "within 1.5 points, of fewer columns by the root of how many times fewer they" in text
    # 1.5 points of three, 1.84 of two
    low, high = stated.band("dann", 65.0, cells=2)
    assert (high - low) / 2 == pytest.approx(1.5 * 1.5**0.5)


@pytest.mark.parametrize("name", [name for name, stated in TABLES.items() if stated.recorded])
def test_what_is_recorded_has_the_keys_of_its_experiment(name: str) -> None:
    stated = TABLES[name]
    for stage in (*stated.first, stated):
        method, *_ = stage.methods
        keys = compose(f"experiments={stage.name}", f"method={method}")
        for run in stated.recorded:
            if run["choices"]["method"] in stage.methods:
                config: Mapping[str, Any] = run["config"]
                assert config["steps"] == keys["steps"]
                assert config["optimizer"]["lr"] == keys["optimizer"]["lr"]


@pytest.mark.parametrize(
    ("mean", "paper", "tolerance", "good"),
    [(44.7781, 44.78, 0.0, True), (44.786, 44.78, 0.0, False), (45.1, 44.6, 0.5, True)],
)
def test_the_band_is_of_rounded_figures(
    mean: float, paper: float, tolerance: float, good: bool
) -> None:
    assert is_within(mean, (paper - tolerance, paper + tolerance)) == good


def test_a_mean_of_several_has_its_interval() -> None:
    assert format_mean([50.0]) == "50.00"
    assert format_mean([50.0, 52.0, 54.0]) == "52.00 ± 4.97"


def test_every_table_is_whole() -> None:
    assert "jda_2013/office_caltech10" in TABLES
    for stated in TABLES.values():
        assert stated.paper.reason
        assert not any(
            isinstance(one, PaperTable) or one.folder == stated.folder for one in stated.first
        )


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_run_that_can_be_begun(name: str) -> None:
    stated = TABLES[name]
    rows: dict[str, list[str]] = {}
    for sweep in stated.sweeps(stated.select_cells(None)):
        values = {key: text for key, _, text in (word.partition("=") for word in sweep)}
        pair = re.findall(r"\[\w+,\w+\]", values.get("dataset.pair", ""))[-1:]
        rows |= dict.fromkeys(values["method"].split(","), pair)
    for method, pair in rows.items():
        overrides = (f"method={method}", *(f"dataset.pair={last}" for last in pair))
        check_config(compose(f"experiments={name}", *overrides), Settings)


def test_a_table_may_be_another_s_and_of_another_measure(tmp_path: Path) -> None:
    runs = [reproduced_record("dann", 0.2), reproduced_record("source_only", 0.1)]
    for run, recall in zip(runs, (0.69, 0.6), strict=True):
        for pick in run["target"].values():
            pick["balanced_accuracy"] = recall
    stated = paper_table(tmp_path, measure="balanced_accuracy", reference="Others")
    text = render_reproduction(stated, judge_cells(stated, runs))
    assert "| row | cell | Others | recorded |" in text
    assert "Others's values are verified" in text
    assert "| `dann` | a-b | 70.00 |  | 69.00† | 69.00 | 69.00 | +9.00 | 1† | inside |" in text


def test_a_second_stage_begins_where_the_first_writes() -> None:
    table = TABLES["shot_2020/digits"]
    (stage,) = table.first
    first: Any = OmegaConf.to_container(OmegaConf.load(stage.file))
    second: Any = OmegaConf.to_container(OmegaConf.load(table.file))
    assert second["init_from"] == "{dir}/{subdir}".format(**first["hydra"]["sweep"])
