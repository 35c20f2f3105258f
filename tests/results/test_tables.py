import statistics
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
from scipy import stats

from da_framework.core.errors import InputError
from da_framework.core.rounding import format_fixed
from da_framework.results import figure_process
from da_framework.results import sensitivity_figure as sensitivity
from da_framework.results.cells import setting_of
from da_framework.results.figure_process import Draw
from da_framework.results.report import make_report, markdown_lines, render_markdown
from da_framework.results.statistics import mean_over_seeds
from da_framework.results.tables import (
    draw_sensitivity,
    gather_records,
    keep_records,
    print_run,
    write_report,
)
from tests.run_records import baseline_records, table_record, weighted_record, write_run


def test_the_three_numbers_of_a_run_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run", table_record(0.5))
    (tmp_path / "run" / "tsne.png").write_text("")
    (tmp_path / "run" / "da.log").write_text("")
    print_run(table_record(0.5), tmp_path / "run")
    text = capsys.readouterr().out
    assert "dann: mnist -> usps" in text
    rows = [line for line in text.splitlines() if "%" in line]
    assert len(rows) == 3
    for row, parts in zip(
        rows,
        (
            ("last step", "10", "50.00%"),
            ("chosen by entropy", "20", "60.00%"),
            ("oracle (uses target labels)", "30", "70.00%"),
        ),
        strict=True,
    ):
        assert all(word in row for word in (*parts, "0.432", "0.057"))
    assert "trained for 12 s" in text
    assert "result.json  tsne.png" in text
    assert "da.log" not in text


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_no_figure_of_a_run_is_cut_however_narrow_the_terminal(
    width: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (("COLUMNS", str(width)), ("TERM", "dumb"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name in ("result.json", "MODEL.md"):
        (tmp_path / "run" / name).touch()
    print_run(table_record(0.5), tmp_path / "run")
    out = capsys.readouterr().out
    assert all(figure in out for figure in ("50.00%", "60.00%", "70.00%", "0.432", "0.057"))
    assert "…" not in out
    assert "\x1b" not in out
    assert out.split()[-3:] == ["MODEL.md", "result.json", "checkpoints/"]


def test_the_interval_is_student_s() -> None:
    # mean 70, deviation 10, of three: 4.303 * 10 / sqrt(3)
    assert str(mean_over_seeds([0.6, 0.7, 0.8])) == "70.0 ± 24.8"
    assert str(mean_over_seeds([0.912])) == "91.2"
    assert str(mean_over_seeds([0.5, 0.5, 0.5])) == "50.0 ± 0.0"
    for values in (
        [0.31, 0.42, 0.44],
        [0.31, 0.35, 0.42, 0.29],
        [0.7 + n % 7 / 100 for n in range(40)],
    ):
        mean, n = statistics.mean(values), len(values)
        low, high = stats.t.interval(0.95, n - 1, loc=mean, scale=stats.sem(values))
        expected = f"{format_fixed(100 * mean)} ± {format_fixed(50 * (high - low))}"
        assert str(mean_over_seeds(values)) == expected


def table_lines(records: list[Any], **keys: Any) -> list[str]:
    """The lines of the table alone."""
    return [line for line in render_markdown(records, **keys).splitlines() if line[:1] == "|"]


def test_seeds_make_one_row() -> None:
    lines = table_lines([table_record(a, seed=s) for a, s in ((0.6, 10), (0.5, 2), (0.7, 1))])
    assert lines == [
        "| task | method | last ± 95 % interval | chosen ± 95 % interval "
        "| oracle ± 95 % interval | seeds |",
        "|---|---|---|---|---|---|",
        "| mnist → usps | `dann` | 60.0 ± 24.8 | 70.0 ± 24.8 | 80.0 ± 24.8 | 3 |",
    ]


def negative_transfers(records: list[Any]) -> dict[str, str]:
    """What the column says of each method; nothing where there is none."""
    header, _, *rows = (line.strip("| ").split(" | ") for line in table_lines(records))
    if "negative transfer" not in header:
        return {}
    cells = [dict(zip(header, (field.strip() for field in row), strict=True)) for row in rows]
    return {row["method"]: row["negative transfer"] for row in cells}


def test_a_method_below_a_baseline_transfers_negatively_where_the_test_says_so() -> None:
    runs = [table_record(a, seed=s) for s, a in ((1, 0.5), (2, 0.6), (3, 0.7))]
    below = {1: 0.6, 2: 0.71, 3: 0.81}
    assert negative_transfers([*runs, *baseline_records(below)]) == {
        "`dann`": "yes: below `lower` by 10.7",
        "`lower`": "",
    }
    unclear = baseline_records({1: 0.6, 2: 0.6, 3: 0.71})
    assert negative_transfers([*runs, *unclear])["`dann`"] == (
        "below `lower` by 3.7, not significant"
    )
    assert negative_transfers([*runs, *baseline_records({1: 0.4, 2: 0.69})])["`dann`"] == "no"
    equal = baseline_records({1: 0.5, 2: 0.6, 3: 0.7})
    assert negative_transfers([*runs, *equal])["`dann`"] == "no"  # as good is not below
    both = [*baseline_records(below), *baseline_records({1: 0.51, 2: 0.6, 3: 0.7}, "upper")]
    assert negative_transfers([*runs, *both])["`dann`"] == (
        "yes: below `lower` by 10.7; below `upper` by 0.3, not significant"
    )
    # one baseline is below the other, and neither adapts
    assert negative_transfers(both) == {"`lower`": "", "`upper`": ""}


def test_negative_transfer_is_over_the_same_seeds_of_the_same_config() -> None:
    runs = [table_record(a, seed=s) for s, a in ((1, 0.5), (2, 0.6), (3, 0.0))]
    assert (
        negative_transfers([*runs, *baseline_records({1: 0.4, 2: 0.6, 9: 1.0})])["`dann`"] == "no"
    )
    assert negative_transfers([*runs, *baseline_records({8: 1.0, 9: 1.0})])["`dann`"] == ""
    elsewhere = [table_record(1.0, method="lower", baseline=True, overrides=("optimizer.lr=1",))]
    assert negative_transfers([*runs, *elsewhere])["`dann`"] == ""
    other = [table_record(1.0, method="lower", baseline=True, source=("svhn",))]
    assert negative_transfers([*runs, *other])["`dann`"] == ""


def test_without_a_baseline_nothing_is_said_of_negative_transfer() -> None:
    old = [table_record(0.9, method="lower"), table_record(0.5)]
    for run in old:
        del run["baseline"]
    assert negative_transfers(old) == {}
    assert "negative transfer" not in render_markdown(old, against=["lower"])


def test_what_is_kept_gives_the_same_table(tmp_path: Path) -> None:
    records = [table_record(0.5), *baseline_records({1: 0.6})]
    for run in records:
        run["config"]["network"] = {"weights": "/home/me/weights.pth", "widths": [2]}
        run["target"]["last"] |= {"f1_per_class": [0.1], "precision_per_class": [0.1], "mmd": 0.25}
        run["curve"] = [
            {"step": 5, "diagnosis/spread": 1.0, "diagnosis/domain_accuracy": 0.9},
            {"step": 9, "diagnosis/domain_accuracy": 0.6},
            {"step": 9, "train/source": 0.1},
        ]
    keep_records(tmp_path / "kept.json", records)
    kept = gather_records([tmp_path / "kept.json"])
    assert render_markdown(kept) == render_markdown(records)
    assert kept[0]["target"]["last"]["mmd"] == 0.25
    assert kept[0]["diagnosis"] == {"domain_accuracy": 0.6}
    network = kept[0]["config"]["network"]
    assert (network["weights"], network["widths"]) == ("weights.pth", [2])
    assert not [name for name in kept[0]["target"]["last"] if name.endswith("per_class")]


def test_runs_kept_before_a_figure_was_are_still_reported(tmp_path: Path) -> None:
    for file in (Path(__file__).parents[2] / "experiments" / "digits_pair").glob("*.json"):
        kept = gather_records([file])
        for run in kept:
            run.pop("baseline", None)
            run["target"]["last"].pop("mmd", None)
        lines = [line for line in table_lines(kept) if "→" in line]
        assert [line.count("±") for line in lines] == [3] * len(lines)
        draw_sensitivity(tmp_path / "x.png", kept, over="seed")


def test_a_gain_is_paired_by_seed() -> None:
    base = [table_record(a, seed=s, method="control") for a, s in ((0.5, 1), (0.6, 2), (0.9, 9))]
    runs = [table_record(a, seed=s) for a, s in ((0.7, 1), (0.62, 2), (0.1, 3))]
    control, dann = table_lines([*base, *runs], against=["control"])[2:]
    assert "| +11.0 (+20.0, +2.0), n = 2 |" in dann  # seeds 3 and 9 have no partner
    assert "|  |" in control


def test_what_differs_otherwise_makes_rows_of_their_own() -> None:
    lines = table_lines(
        [
            table_record(0.5),
            table_record(0.5, method="mmd"),
            table_record(0.5, overrides=("optimizer.lr=0.1",)),
            table_record(0.5, overrides=("+optimizer.lr=0.1",), seed=2),
            table_record(0.5, source=("mnist", "svhn")),
        ]
    )
    rows = [line.split(" | ") for line in lines[2:6]]
    assert [(row[0].strip("| "), row[1], row[-1].strip(" |")) for row in rows] == [
        ("mnist → usps", "`dann`", "1†"),  # seed 2 is missing
        ("mnist → usps", "`mmd`", "1†"),
        ("mnist → usps", "`dann` optimizer.lr=0.1", "2"),
        ("mnist+svhn → usps", "`dann`", "1"),
    ]


def test_a_gain_is_over_the_same_config_alone() -> None:
    turned = ("dataset.rotation=60",)
    runs = [
        table_record(0.9, method="control"),
        table_record(0.5, method="control", overrides=turned),
        table_record(0.7, overrides=turned),
        table_record(0.7, overrides=("dataset.rotation=90",)),
    ]
    rows = table_lines(runs, against=["control"])[2:]
    assert "| +20.0, n = 1 |" in rows[2]
    assert "+" not in rows[3]
    assert "-" not in rows[3]


def test_a_baseline_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"--against contrl: .* the methods here are dann"):
        render_markdown([table_record()], against=["contrl"])


def test_runs_of_other_configs_are_never_pooled_whatever_they_are_called() -> None:
    other = table_record(0.9, seed=2)
    other["config"]["dataset"]["labels_per_class"] = 3
    rows = table_lines([table_record(), other])[2:]
    # and the table says what tells them apart
    assert [row.split(" | ")[1] for row in rows] == [
        "`dann` dataset.labels_per_class=",
        "`dann` dataset.labels_per_class=3",
    ]


def test_what_all_runs_have_in_common_stands_once_above_the_table() -> None:
    long = "dataset.root=/data/photos_of_the_year"
    runs = [
        table_record(0.5, method=method, overrides=(long, "steps=300", f"lr={lr}"))
        for method in ("dann", "mmd")
        for lr in (0.1, 0.2)
    ]
    text = render_markdown(runs)
    assert text.splitlines()[0] == f"All runs: validator=entropy, {long}, steps=300."
    assert [line.split(" | ")[1] for line in table_lines(runs)[2:]] == [
        *("`dann` lr=0.1", "`dann` lr=0.2", "`mmd` lr=0.1", "`mmd` lr=0.2")
    ]
    assert text.count("photos_of_the_year") == 1


def test_data_and_network_of_a_task_are_the_task_s_so_that_methods_have_one_name() -> None:
    runs = [
        table_record(
            0.3 + m / 10 + n / 100,
            method=f"m{m}",
            source=(f"s{n}",),
            overrides=(f"dataset=d{n}", f"network=n{n % 2}", f"dataset.root=/a_{n}", "lr=0.1"),
        )
        for m in range(3)
        for n in range(6)
    ]
    data = ("dataset=d0", "network=n0", "dataset.root=/a_0")
    runs += [table_record(0.9, source=("s0",), overrides=(*data, "lr=0.3"))]
    report = make_report(runs)
    assert {row.name for row in report.rows} == {
        "m0 lr=0.1",
        "m1 lr=0.1",
        "m2 lr=0.1",
        "dann lr=0.3",
    }
    lines = render_markdown(runs).splitlines()
    assert lines[0] == "All runs: validator=entropy."
    assert "s1 → usps: dataset.root=/a_1, dataset=d1, network=n1." in lines
    assert report.ranks is not None
    assert len(report.ranks.tasks) == 6
    assert replace(report, shared={"a": ("x", "y"), "b": ("x", "y"), "c": ()}).common_lines() == [
        "All runs: validator=entropy",
        "a, b: x, y",
    ]


def test_methods_over_tasks_are_ranked_below_the_table() -> None:
    runs = [
        table_record(0.3 + m / 10 + n / 100, method=f"m{m}", source=(f"s{n}",))
        for m in range(3)
        for n in range(6)
    ]
    text = "\n".join(markdown_lines(make_report(runs)))
    assert "## Ranks over 6 tasks" in text
    assert "| `m2` | 1.00 | `m1` |" in text
    assert "Friedman test: χ² = 12.00 with 2 degrees of freedom, p = .002, n = 6 tasks." in text
    assert "## Ranks" not in "\n".join(markdown_lines(make_report(runs[:3])))


def test_a_file_that_holds_no_runs_is_named(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match=r"table\.json holds no runs"):
        gather_records([tmp_path / "table.json"])


def test_what_makes_no_other_run_makes_no_other_row() -> None:
    apart = ("again=true", "logger=[]", "callback=[]", "dataset.source=[mnist]", "seed=3")
    assert setting_of(table_record(overrides=(*apart, "b=2", "a=1"))) == ["a=1", "b=2"]


def test_runs_are_gathered_from_anywhere_below_but_not_what_was_moved_aside(tmp_path: Path) -> None:
    first = write_run(tmp_path / "runs" / "one", table_record(seed=1))
    write_run(tmp_path / "runs" / "sweep" / "two", table_record(seed=2))
    write_run(first / "before-1", table_record(seed=3))
    write_run(first / "before-2" / "deep", table_record(seed=4))
    seeds = [own["config"]["seed"] for own in gather_records([tmp_path / "runs"])]
    assert sorted(seeds) == [1, 2]
    assert render_markdown(gather_records([tmp_path, first])) == render_markdown(
        gather_records([tmp_path])
    )  # each once


def test_what_records_have_in_common_is_in_memory_once(tmp_path: Path) -> None:
    curve = [{"step": 0, "oracle/accuracy": 0.5}]
    given = [table_record(seed=seed) | {"curve": curve, "source": {}} for seed in range(3)]
    given[0]["target"]["last"]["recall_per_class"] = [0.5]
    for number, record in enumerate(given):
        write_run(tmp_path / f"{number}", record)
    whole, slim = gather_records([tmp_path]), gather_records([tmp_path], curves=False)
    assert [record["curve"] for record in whole] == [curve] * 3
    assert whole[0]["target"]["last"]["recall_per_class"] == [0.5]
    for records in (whole, slim):
        first, *others = records
        assert all(other["domains"] is first["domains"] for other in others)
        assert all(other["config"]["dataset"] is first["config"]["dataset"] for other in others)
    assert not any({"curve", "source"} & record.keys() for record in slim)
    assert "recall_per_class" not in slim[0]["target"]["last"]
    assert render_markdown(slim) == render_markdown(whole) == render_markdown(given)


def test_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no result.json below {tmp_path}/a, {tmp_path}/b"):
        gather_records([tmp_path / "a", tmp_path / "b"])


def test_damaged_and_foreign_runs_are_named_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "sound", table_record())
    (write_run(tmp_path / "half", table_record()) / "result.json").write_text('{"key": ')
    write_run(tmp_path / "list", table_record())
    (tmp_path / "list" / "result.json").write_text("[1]")
    lacking = {name: value for name, value in table_record().items() if name != "domains"}
    write_run(tmp_path / "lacking", lacking)
    beyond = table_record()
    beyond["target"]["last"]["accuracy"] = float("nan")
    write_run(tmp_path / "nan", beyond)
    write_run(tmp_path / "curve", {**table_record(), "curve": "flat"})
    write_run(tmp_path / "step", {**table_record(), "curve": [{"score": 1.0}]})
    write_run(tmp_path / "seconds", {**table_record(), "seconds": 3})
    write_run(
        tmp_path / "seed", {**table_record(), "config": {**table_record()["config"], "seed": [1]}}
    )
    write_run(
        tmp_path / "sides", {**table_record(), "domains": {"source": "mnist", "target": ["usps"]}}
    )
    write_run(tmp_path / "quote", {**table_record(), "command": "da train 'a"})
    (usable,) = gather_records([tmp_path])
    assert usable["folder"] == str(tmp_path / "sound")
    errors = capsys.readouterr().err
    for name, reason in {
        "half": "damaged or no record",
        "list": "damaged or no record",
        "lacking": "no record of a run (domains: field required); move it away",
        "nan": "(it has the number NaN); remove it",
        "curve": "(curve: input should be a valid list)",
        "step": "(curve.0.step: field required)",
        "seconds": "(seconds: input should be a valid dictionary)",
        "seed": "(config.seed: input should be a valid integer)",
        "sides": "(domains.source: input should be a valid list)",
        "quote": "(ValueError: No closing quotation)",
    }.items():
        (line,) = [line for line in errors.splitlines() if f"/{name}/result.json" in line]
        assert reason in line
    assert "skipped 10 of 11 results" in errors


Panels = Mapping[str, Mapping[str, sensitivity.Line]]


class Drawn:
    """What was to be drawn."""

    panels: Panels
    values: list[Any]

    def __call__(
        self, draw: Draw, path: Path, panels: Panels, *, key: str, values: list[Any]
    ) -> None:
        self.panels, self.values = panels, values


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    seen = Drawn()
    monkeypatch.setattr(figure_process, "draw_apart", seen)
    return seen


def test_accuracies_are_gathered_by_task_method_and_value(drawn: Drawn) -> None:
    runs = [
        *(weighted_record(0.5 + w / 100 + s / 10, w, seed=s) for w in (10, 0.5) for s in (1, 2)),
        weighted_record(0.9, 0.5, method="mmd"),
        weighted_record(0.3, 10, source=("svhn",)),
        table_record(0.25, method="lower"),
    ]
    draw_sensitivity(Path("x.png"), runs, over="method.weight")
    assert drawn.values == [0.5, 10]
    assert {task: list(lines) for task, lines in drawn.panels.items()} == {
        "mnist → usps": ["dann", "mmd", "lower"],
        "svhn → usps": ["dann"],
    }
    lines = drawn.panels["mnist → usps"]
    assert lines["dann"] == {10: pytest.approx([70, 80]), 0.5: pytest.approx([60.5, 70.5])}
    assert lines["lower"] == {None: [25.0]}


def test_what_differs_otherwise_is_a_line_of_its_own_named_for_it(drawn: Drawn) -> None:
    runs = [
        weighted_record(0.5, w, overrides=("steps=5", f"lr={lr}")) for w in (1, 2) for lr in (3, 4)
    ]
    draw_sensitivity(Path("x.png"), runs, over="method.weight")
    assert list(drawn.panels["mnist → usps"]) == ["dann lr=3", "dann lr=4"]


def test_configs_that_their_commands_do_not_tell_apart_are_not_pooled(drawn: Drawn) -> None:
    runs = [weighted_record(0.5, w) for w in (1, 2)] + [weighted_record(0.6, w) for w in (1, 2)]
    for run in runs[2:]:
        run["config"]["steps"] = 7
    draw_sensitivity(Path("x.png"), runs, over="method.weight")
    assert list(drawn.panels["mnist → usps"]) == ["dann", "dann (2)"]


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([10, 2, 0.5], [0.5, 2, 10]),
        (["all", 10, 3], [3, 10, "all"]),
        ([True, False], ["false", "true"]),
        ([None, 1], [1, "null"]),
        ([[2, 3], [1]], ["[1]", "[2, 3]"]),
    ],
)
def test_values_are_in_order_numbers_first(drawn: Drawn, given: list[Any], values: Any) -> None:
    draw_sensitivity(
        Path("x.png"), [weighted_record(0.5, value) for value in given], over="method.weight"
    )
    assert drawn.values == values
    assert set(drawn.panels["mnist → usps"]["dann"]) == set(values)


def test_a_key_that_cannot_be_drawn_is_said() -> None:
    runs = [weighted_record(0.5, 1), weighted_record(0.6, 1, seed=2)]
    for key, reason in {
        "method.wieght": "no run here has this key; nearest are method.weight",
        "weight": "nearest are method.weight$",
        "method": "nearest are method.name, method.weight$",
        "quite_other": "nearest are ",
        "method.weight": "its one value here is 1; a figure needs two or more",
    }.items():
        with pytest.raises(InputError, match=f"^--over {key}: .*{reason}"):
            draw_sensitivity(Path("x.png"), runs, over=key)
    with pytest.raises(InputError, match="two runs of one config with seed 1"):
        draw_sensitivity(
            Path("x.png"),
            [*runs, weighted_record(0.6, 2), weighted_record(0.7, 2)],
            over="method.weight",
        )


def test_parquet_is_written_or_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out.parquet"
    write_report(file, make_report([table_record()]))
    assert pandas.read_parquet(file)["last"].tolist() == [50.0]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'da_framework\[parquet\]'"):
        write_report(file, make_report([table_record()]))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"may end in \.csv, \.parquet, \.md or \.html"):
        write_report(tmp_path / "out.xls", make_report([table_record()]))
