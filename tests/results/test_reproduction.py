"""A paper's table: what is run, what is shown, and when it ends with 1."""

import io
import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from da_framework.config import plugins
from da_framework.config.schema import check_config
from da_framework.config.settings import Settings
from da_framework.core.errors import InputError
from da_framework.core.files import run_lock
from da_framework.results import reproduction as reproduce
from da_framework.results import tables as report
from da_framework.results.experiments import Paper, PaperTable, find_tables
from da_framework.results.reproduction import (
    format_mean,
    group_by_column,
    is_within,
    job_overrides,
    record_table,
    render_reproduction,
    reproduced,
    seed_overrides,
)
from da_framework.training.build import compose

PAPER: dict[str, Any] = {
    "title": "Somebody, 2020, table 1",
    "known": "verified",
    "tolerance": 1.5,
    "reason": "five seeds",
    "baseline": "source_only",
    "columns": ["a-b", "b-a"],
    "rows": {"source_only": [60.0, 50.0], "dann": [70.0, None]},
}


PARAMS = {"method": "source_only,dann", "dataset.pair": "[a,b],[b,a]", "seed": "1,2"}


def table(tmp_path: Path, *, params: Any = PARAMS, **paper: Any) -> PaperTable:
    folder, file, stated = tmp_path / "runs", tmp_path / "table.yaml", Paper(**(PAPER | paper))
    return PaperTable("some/table", folder, file, params, paper=stated)


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
        "readings": [[0, 0.9], [5, accuracy - 0.1], [9, accuracy]],
        "seconds": {"all": 90.0},
        "finished": "2031-02-03T04:05:06+00:00",
        "code": "0123456789",
        "environment": {"versions": {"torch": "2.0"}},
    }


def test_a_row_may_have_a_band_of_its_own(tmp_path: Path) -> None:
    own = table(tmp_path, bands={"dann": [60, 66], "source_only": [40, 100]})
    runs = [record("source_only", 0.45), record("dann", 0.66), record("dann", 0.67, pair="b-a")]
    assert [cell.inside for cell in reproduced(own, runs)] == [True, None, True]
    text = render_reproduction(own, reproduced(own, runs))
    assert (
        "2 of 2 cells within dann 60 to 66, source_only 40 to 100 (five seeds); 1 not run" in text
    )
    some = table(tmp_path, bands={"dann": [60, 66]})
    assert "1 of 2 cells within dann 60 to 66, 1.5 points (" in render_reproduction(
        some, reproduced(some, runs)
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
    text = render_reproduction(table(tmp_path), [base, reverse, dann])
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
    text = render_reproduction(table(tmp_path), cells)
    assert "| `dann` | a-b | 70.00 | 50.00 |  |  |  |  | 0 | not run |" in text
    assert text.endswith("\n\nRecorded: 2031-02-03; torch 2.0; code 01234567.")


def test_a_cell_without_all_its_seeds_is_marked(tmp_path: Path) -> None:
    runs = [record("dann", 0.7), *(record("source_only", 0.6, seed=seed) for seed in (1, 2))]
    text = render_reproduction(table(tmp_path), reproduced(table(tmp_path), runs))
    assert "| `dann` | a-b | 70.00 |  | 70.00† | 70.00 | 70.00 | +10.00 | 1† | inside |" in text
    assert "\n\n†: fewer seeds than the experiment states (1, 2)" in text
    assert text.count("†") == 3
    assert "†" not in render_reproduction(table(tmp_path), reproduced(table(tmp_path), runs[1:]))


def test_what_a_record_does_not_say_is_not_known(tmp_path: Path) -> None:
    old = {name: own for name, own in record("dann", 0.5).items() if name != "finished"}
    new = record("dann", 0.5, seed=2)
    new["environment"] = {"versions": {"torch": "2.1", "da_framework": "1.0"}}
    words = reproduce.provenance
    assert words([old]) == "date not known; torch 2.0; code 01234567"
    assert words([old, new]) == (
        "2031-02-03, date not known; torch 2.0, 2.1; da_framework 1.0; code 01234567"
    )


def test_the_cost_of_a_table_is_the_processors_time(tmp_path: Path) -> None:
    new = record("dann", 0.5) | {"seconds": {"all": 900.0, "cpu": 300.0}}
    own = table(tmp_path)
    record_table(own, [new, record("dann", 0.5, seed=2)])
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(reproduce.tables_overview({"some/table": own}))
    assert " 6.5 " in console.export_text()


def test_a_table_may_show_the_last_readings_and_what_others_found(tmp_path: Path) -> None:
    others = {"Others": {"dann": [66.0, None]}}
    runs = [record("dann", 0.7), record("dann", 0.7, seed=2)]
    own = table(tmp_path, readings=2, beside=others)
    text = render_reproduction(own, reproduced(own, runs))
    assert "| row | cell | paper | Others | recorded | ours, last | mean of the last 2 |" in text
    # (60 + 70) / 2; the untrained model's reading is none of them
    assert "| `dann` | a-b | 70.00 | 66.00 |  | 70.00 ± 0.00 | 65.00 ± 0.00 | 70.00 |" in text
    assert "| `source_only` | a-b | 60.00 |  |  |  |  |  |" in text
    more = table(tmp_path, readings=3)
    assert "| 70.00 ± 0.00 |  | 70.00 |" in render_reproduction(more, reproduced(more, runs))


def test_what_is_recorded_keeps_its_readings_and_is_drawn(tmp_path: Path) -> None:
    runs = [record("dann", 0.7), record("other", 0.7)]
    run = {name: own for name, own in runs[0].items() if name != "readings"}
    curve = [{"step": 0, "oracle/accuracy": 0.9}, {"step": 4, "lr": 1.0}]
    record_table(table(tmp_path, readings=2), [run | {"curve": curve}, runs[1]])
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    kept = table(tmp_path).recorded
    assert [own["readings"] for own in kept] == [[[0, 0.9]], runs[1]["readings"]]
    assert kept[0]["finished"] == run["finished"]
    (tmp_path / "table.png").unlink()
    record_table(table(tmp_path), runs)
    assert not (tmp_path / "table.png").exists()


def test_cells_become_the_sweeps_that_make_them_alone(tmp_path: Path) -> None:
    own = table(tmp_path, rows={"source_only": [60.0, 50.0], "dann": [70.0, 60.0]})
    both = "dataset.pair=[a,b],[b,a]"
    assert own.sweeps(own.chosen(None)) == [["method=source_only,dann", both]]
    assert own.sweeps(own.chosen("dann/b-a")) == [["method=dann", "dataset.pair=[b,a]"]]
    assert own.sweeps(own.chosen("dann/a-b,source_only/a-b,dann/b-a,dann/a-b")) == [
        ["method=dann", both],
        ["method=source_only", "dataset.pair=[a,b]"],
    ]
    assert own.chosen("dann/*,*/b-a") == [
        ("dann", "a-b"),
        ("dann", "b-a"),
        ("source_only", "b-a"),
    ]
    for wrong in ("dann/c-a", "mmd/*", "dann", ""):
        with pytest.raises(InputError, match=f"cells {re.escape(wrong)}: .* dann and .* b-a, and"):
            own.chosen(f"dann/a-b,{wrong}")
    several = {"method": "dann", "dataset.source": "[a,c],[b]", "dataset.target": "[b],[a]"}
    apart = table(tmp_path, params=several, columns=["a+c-b", "b-a"], rows={"dann": [1.0, 2.0]})
    assert apart.sweeps(apart.chosen(None)) == [
        ["method=dann", "dataset.source=[a,c]", "dataset.target=[b]"],
        ["method=dann", "dataset.source=[b]", "dataset.target=[a]"],
    ]
    one = table(tmp_path, params={"method": "dann,mmd"})
    assert one.sweeps(one.chosen("dann/a-b,source_only/a-b")) == [["method=dann"]]


def test_seeds_and_jobs_become_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = table(tmp_path)
    assert seed_overrides(own, None) == job_overrides(None) == []
    assert seed_overrides(own, "2") == ["seed=2"]
    assert job_overrides(3) == ["hydra/launcher=joblib", "hydra.launcher.n_jobs=3"]
    with pytest.raises(InputError, match=r"--seeds 3: some/table has the seeds 1, 2; seed=3"):
        seed_overrides(own, "1,3")
    with pytest.raises(InputError, match="go through no seeds"):
        seed_overrides(table(tmp_path, params={}), "1")
    with pytest.raises(InputError, match="at least one run"):
        job_overrides(0)

    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(plugins, "distribution", absent)
    with pytest.raises(InputError, match=r"--jobs 2 needs hydra-joblib-launcher: pip install"):
        job_overrides(2)


def test_options_reach_the_sweep_and_only_what_is_asked_for_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []
    given = table(tmp_path, quick=["steps=5"])
    monkeypatch.setattr(reproduce, "find_experiments", lambda: {"some/table": given.file})
    monkeypatch.setattr(reproduce, "load_experiment", lambda name: given)
    monkeypatch.setattr(reproduce, "run_sweep", lambda own, overrides: ran.append(overrides))
    monkeypatch.setattr(report, "gather_records", lambda folders: [record("dann", 0.7)])
    for name in ("runs", "runs-steps_9", "runs-quick"):
        (tmp_path / name).mkdir()
    reproduce.main(["some/table", "--cells", "dann/a-b", "--seeds", "1", "--jobs", "2", "steps=9"])
    jobs = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    apart = f"hydra.sweep.dir={tmp_path}/runs-steps_9"
    assert ran == [["seed=1", *jobs, "steps=9", apart, "method=dann", "dataset.pair=[a,b]"]]
    said = capsys.readouterr().out
    assert "| `dann` | a-b |" in said
    assert "source_only" not in said
    with pytest.raises(SystemExit):  # two of its cells were not run
        reproduce.main(["some/table"])
    assert ran[1:] == [[]]
    assert "| inside |" in capsys.readouterr().out
    reproduce.main(["some/table", "--quick"])
    assert ran[2:] == [["steps=5", f"hydra.sweep.dir={tmp_path}/runs-quick"]]
    said = capsys.readouterr().out
    assert "| inside |" not in said
    assert "No verdict: --quick runs it with steps=5." in said


def test_runs_of_one_cell_differ_in_their_seeds_alone() -> None:
    assert len(group_by_column([record("dann", 0.5, seed=1), record("dann", 0.6, seed=2)])) == 1
    with pytest.raises(
        InputError, match=r"\(steps: 9 and 10\): .* steps=9 and da train method=dann steps=10"
    ):
        group_by_column([record("dann", 0.5), record("dann", 0.5, seed=2, steps=10)])


def test_a_seed_counts_once() -> None:
    twice = [record("dann", 0.5), {**record("dann", 0.5), "folder": "elsewhere"}]
    with pytest.raises(
        InputError, match=r"dann, a-b have the seed 1: da train .* and elsewhere; move one away"
    ):
        group_by_column(twice)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["hydra.sweep.dir=there"], r"hydra\.sweep\.dir=there: the table reads "),
        (["--cells", "dann/*", "method=mmd"], "method=mmd: --cells says already which"),
        (["--cells", "dann/*", "dataset.pair=[a,b]"], r"\[a,b\]: --cells says already which"),
        (["--cells", ""], "--cells : some/table has no such cell"),
    ],
)
def test_what_would_not_be_heeded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    given = table(tmp_path)
    monkeypatch.setattr(reproduce, "find_experiments", lambda: {"some/table": given.file})
    monkeypatch.setattr(reproduce, "load_experiment", lambda name: given)
    monkeypatch.setattr(reproduce, "run_sweep", lambda own, overrides: pytest.fail("run"))
    with pytest.raises(InputError, match=says):
        reproduce.main(["some/table", *words])


def test_keys_that_differ_in_a_sign_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, ran = table(tmp_path), []
    monkeypatch.setattr(reproduce, "find_experiments", lambda: {"some/table": given.file})
    monkeypatch.setattr(reproduce, "load_experiment", lambda name: given)
    monkeypatch.setattr(reproduce, "run_sweep", lambda own, overrides: ran.append(own.folder))
    for value in ("0.1", "-0.1", "[0.1]"):
        with pytest.raises(InputError, match=r"no result\.json below"):
            reproduce.main(["some/table", f"method.weight={value}"])
    assert len(set(ran)) == 3


def test_it_waits_for_what_a_killed_call_has_left_and_says_what_ends_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = table(tmp_path)
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    begin = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda given, **keys: begin(command, **keys))
    left = Thread(target=hold, args=(own.folder, 1.0))
    left.start()
    while not (own.folder / "held").exists():
        time.sleep(0.01)
    before = time.monotonic()
    with pytest.raises(InputError, match="SIGKILL ended it; the same command continues"):
        reproduce.run_sweep(own, [])
    assert time.monotonic() - before > 0.5
    assert f"another process trains in {own.folder}: waiting for it" in capsys.readouterr().err
    left.join()


def hold(folder: Path, seconds: float) -> None:
    """As a sweep does."""
    with run_lock(folder):
        (folder / "held").touch()
        time.sleep(seconds)


def test_each_seed_may_go_on_from_its_own_run() -> None:
    runs = [record("dann", 0.5, seed=seed) for seed in (1, 2)]
    for run in runs:
        run["config"]["init_from"] = f"runs/start/seed_{run['config']['seed']}"
    assert len(group_by_column(runs)) == 1
    runs[1]["config"]["init_from"] = "runs/other/seed_2"
    with pytest.raises(InputError, match="differ in more than their seeds"):
        group_by_column(runs)


def tried(method: str, accuracy: float, *, width: int, score: float, **where: Any) -> Any:
    """A run of one setting among several."""
    run = record(method, accuracy, **where)
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
    own = table(tmp_path, tuned=["network.width"], rows={"dann": [65.0, None]}, baseline="dann")
    (cell,) = reproduced(own, runs)
    assert [run["target"]["last"]["accuracy"] for run in cell.runs] == [0.6, 0.6]
    runs[1]["target"]["chosen"]["score"] = 0.61  # of seed 1, width 2
    (cell,) = reproduced(own, runs)
    assert [run["target"]["last"]["accuracy"] for run in cell.runs] == [0.7, 0.6]
    text = render_reproduction(own, [cell], runs)
    assert "| `dann` | a-b | 65.00 |  | 65.00 ± " in text
    assert (
        "Tuned for each cell by `reverse`, without target labels: `dann` over `network.width` 1, "
        "2, 3." in text
    )
    runs[0]["config"]["network"]["depth"] = 2
    with pytest.raises(InputError, match=r"differ in more than their seeds \(network\.depth: "):
        reproduced(own, runs)


def test_a_verdict_may_be_on_the_mean_of_a_row_alone(tmp_path: Path) -> None:
    own = table(
        tmp_path,
        verdict="mean",
        rows={"source_only": [60.0, 50.0], "dann": [70.0, 60.0]},
        params=PARAMS | {"seed": "1"},
    )
    runs = [
        *(record("source_only", 0.5, pair=pair) for pair in ("a-b", "b-a")),
        *(record("dann", accuracy, pair=pair) for pair, accuracy in (("a-b", 0.8), ("b-a", 0.51))),
    ]
    text = render_reproduction(own, reproduced(own, runs))
    assert "| `dann` | a-b | 70.00 |  | 80.00 | 80.00 | 80.00 | +30.00 | 1 |  |" in text
    assert "| `dann` | mean | 65.00 |  | 65.50 | 65.50 | 65.50 | +15.50 | 1 | inside |" in text
    assert "| `source_only` | mean | 55.00 |  | 50.00 | 50.00 | 50.00 |  | 1 | OUTSIDE |" in text
    assert "1 of 2 cells within 1.5 points (five seeds); 0 not run." in text
    text = render_reproduction(own, reproduced(own, runs[:3]))
    assert "| `dann` | b-a | 60.00 |  |  |  |  |  | 0 | not run |" in text
    assert "| `dann` | mean" not in text, "one cell is no mean"
    text = render_reproduction(own, reproduced(own, runs[:2]))
    assert "| `dann` | mean | 65.00 |  |  |  |  |  | 0 | not run |" in text


def test_a_mean_of_some_columns_is_held_beside_the_papers_of_the_same(tmp_path: Path) -> None:
    own = table(
        tmp_path,
        verdict="mean",
        columns=["a-b", "b-a", "b-c"],
        rows={"source_only": [60.0, 50.0, 10.0], "dann": [70.0, 60.0, 20.0]},
        params=PARAMS | {"seed": "1"},
    )
    record_table(
        own,
        [
            record("dann", value, pair=pair)
            for pair, value in (("a-b", 0.8), ("b-a", 0.6), ("b-c", 0.1))
        ],
    )
    runs = [record("dann", 0.66, pair=pair) for pair in ("a-b", "b-a")]
    runs += [record("source_only", 0.5, pair=pair) for pair in ("a-b", "b-a", "b-c")]
    text = render_reproduction(own, reproduced(own, runs))
    assert (
        "| `dann` | mean of 2 | 65.00 | 70.00 | 66.00 | 66.00 | 66.00 | +16.00 | 1 | inside |"
        in text
    )
    assert "| `source_only` | mean | 40.00 |  | 50.00 | " in text
    assert "within 1.5 points, of fewer columns by the root of how many times fewer they" in text
    # 1.5 points of three, 1.84 of two
    low, high = own.band("dann", 65.0, cells=2)
    assert (high - low) / 2 == pytest.approx(1.5 * 1.5**0.5)


def test_what_is_kept_as_ours_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "run_sweep", lambda own, overrides: pytest.fail("run"))
    for words in (["--quick"], ["--seeds", "1"], ["--cells", "shot/usps-mnist"], ["steps=9"]):
        with pytest.raises(InputError, match="whole tables with their own keys"):
            reproduce.main(["shot_2020/digits", "--record", *words])


@pytest.mark.parametrize("name", [name for name, own in find_tables().items() if own.recorded])
def test_what_is_recorded_has_the_keys_of_its_experiment(name: str) -> None:
    own = find_tables()[name]
    for stage in (*own.first, own):
        method, *_ = stage.methods
        keys = compose(f"experiments={stage.name}", f"method={method}")
        for run in own.recorded:
            if run["choices"]["method"] in stage.methods:
                assert run["config"]["steps"] == keys["steps"]
                assert run["config"]["optimizer"]["lr"] == keys["optimizer"]["lr"]


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
    assert "jda_2013/office_caltech10" in find_tables()
    for own in find_tables().values():
        assert own.paper.reason
        assert not any(isinstance(one, PaperTable) or one.folder == own.folder for one in own.first)


@pytest.mark.parametrize("name", find_tables())
def test_every_row_is_a_run_that_can_be_begun(name: str) -> None:
    own = find_tables()[name]
    for sweep in own.sweeps(own.chosen(None)):
        values = {key: text for key, _, text in (word.partition("=") for word in sweep)}
        pair = re.findall(r"\[\w+,\w+\]", values.get("dataset.pair", ""))[-1:]
        for method in values["method"].split(","):
            words = (f"method={method}", *(f"dataset.pair={last}" for last in pair))
            check_config(compose(f"experiments={name}", *words), Settings)


def test_a_table_may_be_another_s_and_of_another_measure(tmp_path: Path) -> None:
    runs = [record("dann", 0.2), record("source_only", 0.1)]
    for own, recall in zip(runs, (0.69, 0.6), strict=True):
        for pick in own["target"].values():
            pick["recall"] = recall
    own = table(tmp_path, measure="recall", reference="Others")
    text = render_reproduction(own, reproduced(own, runs))
    assert "| row | cell | Others | recorded |" in text
    assert "Others's values are verified" in text
    assert "| `dann` | a-b | 70.00 |  | 69.00† | 69.00 | 69.00 | +9.00 | 1† | inside |" in text


def test_what_comes_first_is_run_first_without_what_is_the_table_s_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, list[str]]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        reproduce, "run_sweep", lambda own, overrides: ran.append((own.name, overrides))
    )
    gathered = {
        "multirun/shot_2020-digits_source-steps_9": record("source_only", 0.9, pair="usps-mnist"),
        "multirun/shot_2020-digits-steps_9": record("shot", 0.97, pair="usps-mnist"),
    }
    monkeypatch.setattr(
        report, "gather_records", lambda folders: [gathered[str(f)] for f in folders]
    )
    Path("multirun/shot_2020-digits-steps_9").mkdir(parents=True)
    reproduce.main(["shot_2020/digits", "seed=1", "steps=9", "method=shot"])
    first, second = gathered
    begun = f"init_from='{first}/${{dataset.pair[0]}}-${{dataset.pair[1]}}-${{seed}}'"
    assert ran == [
        ("shot_2020/digits_source", ["seed=1", "steps=9", f"hydra.sweep.dir={first}"]),
        (
            "shot_2020/digits",
            ["seed=1", "steps=9", "method=shot", f"hydra.sweep.dir={second}", begun],
        ),
    ]
    assert "| 97.00† | 97.00 | 97.00 | +7.00 | 1† | inside |" in capsys.readouterr().out


def test_a_second_stage_begins_where_the_first_writes() -> None:
    table = find_tables()["shot_2020/digits"]
    (stage,) = table.first
    first: Any = OmegaConf.to_container(OmegaConf.load(stage.file))
    second: Any = OmegaConf.to_container(OmegaConf.load(table.file))
    assert second["init_from"] == "{dir}/{subdir}".format(**first["hydra"]["sweep"])


def test_a_table_is_reproduced_and_continued(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of a real one, by joblib; a second call runs nothing."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    cell = ("jda_2013/digits_baselines", "--cells", "pca/mnist-usps")
    ended = da("reproduce", *cell, "--jobs", "2")
    assert ended.code == 0, ended
    assert "| `pca` | mnist-usps | 66.22 |" in ended.out
    assert "1 of 1 cells within 0.0 points" in ended.out
    (file,) = da.folder.rglob("result.json")
    assert datetime.fromisoformat(json.loads(file.read_text())["finished"]).tzinfo == UTC
    written = file.stat().st_mtime_ns
    assert da("reproduce", *cell).code == 0
    assert file.stat().st_mtime_ns == written
    found = json.loads(file.read_text())
    found["target"]["last"]["accuracy"] = 0.5
    file.write_text(json.dumps(found))
    ended = da("reproduce", *cell)
    assert ended.code == 1
    assert "OUTSIDE" in ended.out


def test_what_cannot_be_reproduced_is_said(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    ended = da("reproduce", "jda_2013/objects")
    assert ended.code == 2
    assert "the tables are cdan_2018/digits, dann_2016/amazon, " in ended.err
    ended = da("reproduce", "jda_2013/digits", "method=no_such")
    assert ended.code == 2
    assert "reproduce.log" in ended.err
    listed = da("reproduce", "--list").out
    assert re.search(
        r"jda_2013/office_caltech10 .* 48: nearest_neighbor, .* 1\.7 .*; torch 2\.15", listed
    )
    assert re.search(r"cells .* CPU minutes .* recorded", listed)
