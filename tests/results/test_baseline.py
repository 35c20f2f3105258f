"""What a run says that a baseline reaches on its task: beside it, or as recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from da_framework.results.baseline import describe_baseline
from da_framework.results.statistics import mean_accuracy
from da_framework.results.tables import read_kept
from da_framework.training.build import compose
from tests.run_records import table_record, write_run

ALIGNMENT = Path(__file__).parents[2] / "experiments" / "digits_pair" / "alignment.recorded.json"


def run(*overrides: str, **keys: Any) -> Any:
    config = compose(*overrides)
    return {**table_record(**keys), "config": config}


def recorded(source: str) -> str:
    runs = {
        record["config"]["seed"]: record
        for record in read_kept(ALIGNMENT)
        if record["choices"]["method"] == "source_only" and record["domains"]["source"] == [source]
    }
    assert sorted(runs) == [1, 2, 3, 4, 5]
    return str(mean_accuracy(runs))


@pytest.mark.parametrize("source", ["mnist", "usps"])
def test_the_first_run_ends_with_what_was_recorded_in_its_config(
    source: str, tmp_path: Path
) -> None:
    ours = run("method=mcd", f"dataset.source=[{source}]", source=(source,))
    ours["domains"]["target"] = [{"mnist": "usps", "usps": "mnist"}[source]]
    assert describe_baseline(ours, tmp_path / "run") == (
        f"source_only reaches {recorded(source)}% here, as recorded in digits_pair/alignment: "
        "last of 1000 steps, mean of 5 seeds with its 95% interval, with this run's config"
    )


def test_what_the_recorded_runs_did_otherwise_is_said(tmp_path: Path) -> None:
    told = describe_baseline(run("steps=60", "optimizer.lr=0.5"), tmp_path / "run")
    assert recorded("mnist") in told
    assert told.endswith("but with steps=1000 in place of 60, optimizer.lr=0.02 in place of 0.5")
    assert "another network" in describe_baseline(run("network=lenet"), tmp_path / "run")
    assert "but" not in describe_baseline(run("validator=entropy", "seed=9"), tmp_path / "run")


@pytest.mark.parametrize(
    "overrides",
    [
        ("dataset.protocol=inductive",),
        ("dataset=two_moons", "network=mlp"),
    ],
)
def test_of_another_task_nothing_is_said(overrides: tuple[str, ...], tmp_path: Path) -> None:
    assert not describe_baseline(run(*overrides), tmp_path / "run")


def test_a_baseline_and_a_target_without_labels_have_nothing_to_compare(tmp_path: Path) -> None:
    assert not describe_baseline(run(baseline=True), tmp_path / "run")
    unlabelled = run()
    for figures in unlabelled["target"].values():
        del figures["accuracy"]
    assert not describe_baseline(unlabelled, tmp_path / "run")


def test_a_run_beside_with_this_config_and_seed_comes_before_what_is_recorded(
    tmp_path: Path,
) -> None:
    base = run("method=source_only", method="source_only", accuracy=0.7123, baseline=True)
    write_run(tmp_path / "source_only-x", base)
    told = describe_baseline(run(), tmp_path / "dann-x")
    assert told == (
        "source_only reaches 71.23% here: last step, this run's config and seed (source_only-x)"
    )
    for other in (run("seed=2", seed=2), run("steps=60"), run("optimizer.lr=0.5")):
        assert "recorded" in describe_baseline(other, tmp_path / "dann-x")
    (tmp_path / "source_only-x" / "result.json").write_text("{")
    assert "recorded" in describe_baseline(run(), tmp_path / "dann-x")


def test_a_run_prints_it(da: Any) -> None:
    assert da.train("method=source_only", run="runs/source_only-1").code == 0
    trained = da.train("method=dann", run="runs/dann-1")
    base = json.loads((da.folder / "runs" / "source_only-1" / "result.json").read_text())
    accuracy = 100 * base["target"]["last"]["accuracy"]
    assert f"source_only reaches {accuracy:.2f}% here" in " ".join(trained.out.split())
