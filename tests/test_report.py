import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from da_framework.errors import InputError
from da_framework.report import gather, main, markdown, setting, show, spread

BESIDE = ("logger", "callback", "again", "experiments")


def record(
    accuracy: float = 0.5,
    *,
    method: str = "dann",
    seed: int = 1,
    words: tuple[str, ...] = (),
    source: tuple[str, ...] = ("mnist",),
) -> dict[str, Any]:
    figures = {"f1": 0.4321, "calibration_error": 0.0567}
    accuracies = {"last": accuracy, "chosen": accuracy + 0.1, "oracle": accuracy + 0.2}
    return {
        "key": "k",
        "command": " ".join(["da train", f"method={method}", f"seed={seed}", *words]),
        "choices": {"method": method, "validator": "entropy"},
        "config": {
            "seed": seed,
            "method": {"name": method, "own": [w for w in words if w.startswith("method.")]},
            "dataset": {"split_seed": 0},
            "other": [
                w.lstrip("+") for w in words if not w.lstrip("+").startswith(("method.", *BESIDE))
            ],
        },
        "domains": {"source": list(source), "target": ["usps"]},
        "seconds": {"training": 12.4},
        "target": {
            pick: {"step": 10 * number, "accuracy": own, **figures}
            for number, (pick, own) in enumerate(accuracies.items(), start=1)
        },
    }


def saved(folder: Path, given: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(given))
    return folder


def test_the_three_numbers_of_a_run_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "run", record(0.5))
    (tmp_path / "run" / "tsne.png").write_text("")
    (tmp_path / "run" / "da.log").write_text("")
    show(record(0.5), tmp_path / "run")
    text = capsys.readouterr().out
    assert "dann: mnist -> usps" in text
    rows = [line for line in text.splitlines() if "%" in line]
    assert len(rows) == 3
    for row, words in zip(
        rows,
        (
            ("last step", "10", "50.00%"),
            ("chosen by entropy", "20", "60.00%"),
            ("oracle (uses target labels)", "30", "70.00%"),
        ),
        strict=True,
    ):
        assert all(word in row for word in (*words, "0.432", "0.057"))
    assert "trained for 12 s" in text
    assert "result.json  tsne.png" in text
    assert "da.log" not in text


def test_mean_and_deviation_are_those_of_statistics() -> None:
    # mean 70, squared distances 100, 0, 100, over n - 1 = 2
    assert spread([0.6, 0.7, 0.8]) == "70.0 ± 10.0"
    assert spread([0.912]) == "91.2"
    assert spread([0.5, 0.5]) == "50.0 ± 0.0"
    values = [0.31, 0.35, 0.42]
    deviation = 100 * statistics.stdev(values)
    assert spread(values) == f"{100 * sum(values) / 3:.1f} ± {deviation:.1f}"


def test_seeds_make_one_row() -> None:
    table = markdown([record(a, seed=s) for a, s in ((0.6, 10), (0.5, 2), (0.7, 1))])
    assert table.splitlines() == [
        "| task | method | last | chosen | oracle | seeds |",
        "|---|---|---|---|---|---|",
        "| mnist → usps | `dann` | 60.0 ± 10.0 | 70.0 ± 10.0 | 80.0 ± 10.0 | 3 |",
    ]


def test_a_gain_is_paired_by_seed() -> None:
    base = [record(a, seed=s, method="control") for a, s in ((0.5, 1), (0.6, 2), (0.9, 9))]
    own = [record(a, seed=s) for a, s in ((0.7, 1), (0.62, 2), (0.1, 3))]
    control, dann = markdown([*base, *own], against=["control"]).splitlines()[2:]
    assert "| +11.0 (+2.0) |" in dann  # of 20 and 2 points; seeds 3 and 9 have no partner
    assert "|  |" in control


def test_what_differs_otherwise_makes_rows_of_their_own() -> None:
    table = markdown(
        [
            record(0.5),
            record(0.5, method="mmd"),
            record(0.5, words=("optimizer.lr=0.1",)),
            record(0.5, words=("+optimizer.lr=0.1",), seed=2),
            record(0.5, source=("mnist", "svhn")),
        ]
    )
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert [(row[0].strip("| "), row[1], row[-1].strip(" |")) for row in rows] == [
        ("mnist → usps", "`dann`", "1"),
        ("mnist → usps", "`mmd`", "1"),
        ("mnist → usps", "`dann` optimizer.lr=0.1", "2"),
        ("mnist+svhn → usps", "`dann`", "1"),
    ]


def test_a_gain_is_over_the_same_config_alone() -> None:
    turned = ("dataset.rotation=60",)
    runs = [
        record(0.9, method="control"),
        record(0.5, method="control", words=turned),
        record(0.7, words=turned),
        record(0.7, words=("dataset.rotation=90",)),
    ]
    rows = markdown(runs, against=["control"]).splitlines()[2:]
    assert "| +20.0 (+20.0) |" in rows[2]
    assert "+" not in rows[3]
    assert "-" not in rows[3]


def test_a_baseline_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"--against contrl: .* the methods here are dann"):
        markdown([record()], against=["contrl"])


def test_runs_of_other_configs_are_never_pooled_whatever_they_are_called() -> None:
    other = record(0.9, seed=2)
    other["config"]["dataset"]["labels_per_class"] = 3
    assert len(markdown([record(), other]).splitlines()) == 4


def test_a_file_that_holds_no_runs_is_named(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match=r"table\.json holds no runs"):
        gather([tmp_path / "table.json"])


def test_what_makes_no_other_run_makes_no_other_row() -> None:
    apart = ("again=true", "logger=[]", "callback=[]", "dataset.source=[mnist]", "seed=3")
    assert setting(record(words=(*apart, "b=2", "a=1"))) == "a=1, b=2"


def test_runs_are_gathered_from_anywhere_below_but_not_what_was_moved_aside(tmp_path: Path) -> None:
    one = saved(tmp_path / "runs" / "one", record(seed=1))
    saved(tmp_path / "runs" / "sweep" / "two", record(seed=2))
    saved(one / "before-1", record(seed=3))
    saved(one / "before-2" / "deep", record(seed=4))
    seeds = [own["config"]["seed"] for own in gather([tmp_path / "runs"])]
    assert sorted(seeds) == [1, 2]
    assert markdown(gather([tmp_path, one])) == markdown(gather([tmp_path]))  # each once


def test_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no result.json below {tmp_path}/a, {tmp_path}/b"):
        gather([tmp_path / "a", tmp_path / "b"])


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    (saved(tmp_path / "one", record()) / "result.json").write_text("{")
    with pytest.raises(InputError, match=r"one/result.json is damaged"):
        gather([tmp_path])


def test_the_command_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path / "one", record())
    main([str(tmp_path)])
    assert "| mnist → usps | `dann` | 50.0 | 60.0 | 70.0 | 1 |" in capsys.readouterr().out
