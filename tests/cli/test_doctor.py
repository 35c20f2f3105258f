"""What ``da doctor`` says of runs whose figures are given, and of real ones."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from da_framework.cli.doctor import diagnose, print_diagnoses, read_finished
from da_framework.core.errors import InputError

WEIGHED = {"method": {"weight": 1.0, "coefficient": 1.0}}
"""A config whose method has both knobs."""


def record(
    domain: tuple[float, ...],
    *,
    ratios: tuple[float, ...] = (),
    accuracies: tuple[float, float, float] = (0.8, 0.8, 0.8),
    source: float = 0.9,
    shrunk: float = 1.0,
    **keys: Any,
) -> dict[str, Any]:
    curve: list[dict[str, Any]] = [
        {"step": 10 * n, "score": 0.0, "diagnosis/domain_accuracy": own, "domains/mmd": shrunk**n}
        for n, own in enumerate(domain)
    ]
    curve += [{"step": 10, "diagnosis/gradient_ratio": ratio} for ratio in ratios]
    steps = {"last": 30, "chosen": 30, "oracle": 20}
    return {
        "choices": {"method": "some", "validator": "entropy"},
        "curve": curve,
        "source": {"last": {"accuracy": source}},
        "target": {
            pick: {"step": steps[pick], "accuracy": own}
            for pick, own in zip(steps, accuracies, strict=True)
        },
        **keys,
    }


@pytest.mark.parametrize(
    ("given", "message", "advice"),
    [
        (record((0.95, 0.7, 0.58)), "domains came together: a linear .* 58% accuracy, 95%", ""),
        (
            record((0.95, 0.55), source=0.3, config=WEIGHED),
            "source accuracy is only 30%",
            "lower method.weight or method.coefficient",
        ),
        (record((0.95, 0.55), source=0.3), "source accuracy is only 30%", "lower the steps"),
        (record((0.95, 0.8)), "came nearer, but are told apart still", "more steps"),
        (record((0.99, 0.94), shrunk=0.1), "came nearer, but are told apart still", "more steps"),
        (record((0.99, 0.94), shrunk=0.5), "did not come together", "adds no term"),
        (record((0.55, 0.58)), "hardly a shift", "few classes"),
        (record((0.9, 0.92)), "did not come together", "adds no term"),
        (
            record((0.9, 0.92), ratios=(1e-3,), config=WEIGHED),
            "did not come together",
            "raise method.weight or method.coefficient",
        ),
        (record((0.9, 0.92), ratios=(1e-3,)), "did not come together", "nothing: more steps"),
        (record((0.9, 0.92), ratios=(0.5,)), "did not come together", "does pull on the encoder"),
        (record((0.9, 0.7), baseline=True), "did not come together", "does not adapt; da list"),
        (record(()), "nothing was read", ""),
        (
            record((0.9, 0.5), accuracies=(0.8, 0.75, 0.81)),
            "^by target labels alone: the validator's choice cost 6.0 points",
            "",
        ),
        (
            record((0.9, 0.5), accuracies=(0.7, 0.8, 0.8)),
            "^by target labels alone: step 20 was better than the end",
            "",
        ),
        (
            record((0.9, 0.5), verdicts=[{"kind": "task", "step": 7, "words": "the task is lost"}]),
            "^step 7: the task is lost$",
            "",
        ),
    ],
)
def test_what_the_figures_mean_is_said(given: dict[str, Any], message: str, advice: str) -> None:
    actual = [own for own in diagnose(given) if re.search(message, own[0])]
    assert len(actual) == 1
    assert advice in actual[0][1]
    assert bool(advice) == bool(actual[0][1])


def test_a_run_without_a_choice_is_said_to_be_so() -> None:
    given = record((0.95, 0.55))
    del given["target"]["chosen"]
    findings = dict(diagnose(given))
    assert "another validator" in findings["nothing was chosen: no score of entropy is finite"]


def test_a_sound_run_needs_nothing() -> None:
    assert [advice for _, advice in diagnose(record((0.95, 0.55), ratios=(0.5,)))] == ["", ""]


def test_a_run_that_did_not_end_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no result\.json"):
        read_finished(tmp_path)
    (tmp_path / "metrics.csv").write_text("step,score\n0,1\n40,2\n")
    with pytest.raises(InputError, match=r"did not end; it was last seen at step 40"):
        read_finished(tmp_path)


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("step 60: the term domain is inf; last good checkpoint: x", "try: lower method.weight"),
        ("step 60: the term source is nan; last good checkpoint: x", "try: lower optimizer.lr, or"),
        ("step 60: logits of the target are not finite; x", "try: lower optimizer.lr, set"),
    ],
)
def test_a_run_that_diverged_is_said_to_be_so_with_its_term_and_what_to_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], message: str, advice: str
) -> None:
    (tmp_path / "diverged.txt").write_text(f"{message}\n")
    rows = ["step,score,train/domain", "0,1,", "20,,0.7", "40,,31.25", "40,1,"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    print_diagnoses([tmp_path])
    folder, diverged, tried, *readings = capsys.readouterr().out.splitlines()
    assert folder == str(tmp_path)
    assert diverged == f"  it diverged, and there is no result: {message}"
    assert tried.startswith(f"    {advice}")
    shown = ["  domain was 0.7 at step 20, 31.2 at step 40"]
    assert readings == (shown if "domain" in message else [])


def test_the_doctor_reads_a_run_that_diverged_until_it_is_trained_well(da: Any) -> None:
    assert da.train("optimizer.lr=1e30", "method=dann").code == 3
    ended = da("doctor", "run")
    assert ended.code == 0
    assert "step 1: the term" in ended.out
    assert "; no checkpoint was due yet\n    try: lower" in ended.out
    assert da.train("method=dann").code == 0
    assert "diverged" not in da("doctor", "run").out
    (da.folder / "run" / "result.json").unlink()  # as if the same command had to go on
    (da.folder / "run" / "diverged.txt").write_text("step 1: the term source is nan\n")
    assert da.train("method=dann").code == 0
    assert "diverged" not in da("doctor", "run").out


@pytest.mark.parametrize(
    "wrong",
    [
        {"curve": "flat"},
        {"curve": [{"diagnosis/domain_accuracy": "high"}] * 2},
        {
            "target": {
                pick: {"step": 1, "accuracy": "high"} for pick in ("last", "chosen", "oracle")
            }
        },
        {"target": {"last": None}},
    ],
)
def test_a_record_that_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    given = record((0.9, 0.5), key="k", config={}, domains={"source": ["a"], "target": ["b"]})
    (tmp_path / "result.json").write_text(json.dumps(given))
    print_diagnoses([tmp_path])
    (tmp_path / "result.json").write_text(json.dumps(given | wrong))
    with pytest.raises(InputError, match="no record of a run that da doctor knows"):
        print_diagnoses([tmp_path])


def test_the_command_reads_a_run(da: Any) -> None:
    done = da.train("callback=[diagnostics]", "method=dann", "steps=20", "evaluate_every=10")
    assert done.code == 0
    curve = da.record()["curve"]
    assert [row["step"] for row in curve] == [0, 10, 20]
    assert all("score" in row and "diagnosis/domain_accuracy" in row for row in curve)
    assert "diagnosis/gradient_ratio" in (da.folder / "run" / "metrics.csv").read_text()
    with (da.folder / "run" / "metrics.csv").open() as file:
        *_, last = csv.DictReader(file)
    assert last["step"] == "20"
    assert last["diagnosis/spread"]  # written after it was read
    ended = da("doctor", "run=run")
    assert ended.code == 0
    assert ended.out.startswith("dann: straight -> rotated (run)")
    assert "linear classifier" in ended.out
    missing = da("doctor", "nowhere")
    assert (missing.code, missing.err.count("\n")) == (2, 1)


def test_what_is_left_of_a_killed_run_is_read_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.csv").write_text("")
    with pytest.raises(InputError, match=r"the run did not end; if it was killed, the same"):
        read_finished(tmp_path)
    (tmp_path / "metrics.csv").write_text("step,train/domain\n10,0.5\n20,o.6\n")
    (tmp_path / "diverged.txt").write_text("step 21: the term domain is nan\n")
    print_diagnoses([tmp_path])
    assert "it diverged, and there is no result: step 21" in capsys.readouterr().out
