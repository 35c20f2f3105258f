"""An audit: asked, answered, judged; killed, repeated and fed with wrong files."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from da_framework.audit.page import write_label_page
from da_framework.audit.pool import Pool
from da_framework.audit.questions import QUESTIONS, Questions
from da_framework.datasets.answers import CANNOT_TELL
from da_framework.training.audit_pool import gather_pool
from tests.browser import Browser, browsing
from tests.wandb_files import of, pieces, summary, whole

RUNS = "run=[source_only,dann]"
WHOLE = ("dataset.val=0.0", "dataset.protocol=transductive")


@pytest.fixture
def runs(da: Any) -> Any:
    for method in ("source_only", "dann"):
        steps = 2 if method == "source_only" else 60
        da.train_once(f"audit-{method}", f"method={method}", f"steps={steps}", run=method)
    return da


def true_pool() -> Pool:
    return gather_pool(["source_only", "dann"], pick="last", dataset={}, data_dir=None, trust=())


def read_questions(folder: str = "audit") -> list[list[str]]:
    with (Path(folder) / QUESTIONS).open(newline="") as file:
        return list(csv.reader(file))


def answer(folder: str = "audit", *, most: int | None = None) -> None:
    """Writes the true labels into the questions, as a person would."""
    pool = true_pool()
    truth = {
        sample: pool.classes[label] for sample, label in zip(pool.samples, pool.labels, strict=True)
    }
    head, *rows = read_questions(folder)
    for row in rows[:most]:
        row[2] = truth[row[1]]
    with (Path(folder) / QUESTIONS).open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def state(folder: str = "audit") -> dict[str, Any]:
    known: dict[str, Any] = json.loads((Path(folder) / "audit.json").read_text())
    return known


def test_from_questions_to_a_verdict(runs: Any) -> None:
    asked = runs("audit", RUNS, "ask=10")
    assert asked.code == 0, asked.err
    assert "10 questions wait" in asked.out
    assert "undecided" in asked.out
    rows = read_questions()
    assert [row[0] for row in rows] == ["question", *map(str, range(1, 11))]
    assert all(row[2] == "" for row in rows[1:])  # blind: nobody sees what the runs say
    answer()
    pool = true_pool()
    for _ in range(8):
        ended = runs("audit", RUNS, "ask=40")
        assert ended.code == 0, ended.err
        answer()
        if state()["pairs"][0]["outcome"] != "undecided":
            break
    (pair,) = state()["pairs"]
    right = (pool.answers == pool.labels).mean(1)
    low, high = pair["gain"]
    assert low <= right[1] - right[0] <= high
    assert pair["outcome"] == ("better" if right[1] > right[0] else "worse")
    assert state()["best"] == ["source_only", "dann"][int(right[1] > right[0])]


def page_data() -> dict[str, Any]:
    text = (Path("audit") / "audit.html").read_text()
    data: dict[str, Any] = json.loads(text.partition("const data = ")[2].partition(";\n")[0])
    return data


def test_before_any_label_shift_and_labels_needed_are_said_and_no_winner(runs: Any) -> None:
    ended = runs("audit", RUNS)
    assert ended.code == 0, ended.err
    assert "shift, in features of source_only: a shift is seen" in ended.out
    assert "(level 0.05; " in ended.out
    assert "95 % interval" in ended.out
    assert "labels until a verdict, about: " in ended.out
    for word in ("better", "worse", "the best"):
        assert word not in ended.out
    shift, (pair,) = state()["shift"], state()["pairs"]
    for found, foretold in (
        (shift, pair["foretold"]),
        (page_data()["shift"], page_data()["pairs"][0]["foretold"]),
    ):
        assert found["tests"]["differ"] is True
        assert found["level"] == 0.05
        assert all(low <= high for low, high in found["mlls_interval"])
        assert sum(found["mlls"]) == pytest.approx(1)
        assert any(own["labels"] for own in foretold)
    assert state()["best"] is None
    assert page_data()["unasked"]


def test_examples_are_of_samples_that_nobody_is_asked_for(runs: Any) -> None:
    assert runs("audit", RUNS, "ask=10").code == 0
    asked = {row[1] for row in read_questions()[1:]}
    shown = {own["sample"] for own in page_data()["unasked"]}
    assert shown
    assert not asked & shown
    answer()
    assert runs("audit", RUNS, "ask=4000").code == 0
    assert page_data()["unasked"] == []
    assert {own["label"] for own in page_data()["examples"]} <= {"upper", "lower"}


def test_no_label_of_the_target_changes_what_is_said_of_the_shift(runs: Any) -> None:
    pool = true_pool()
    sides = pool.sides()
    assert (sides.target.y < 0).all()
    assert not sides.adapted
    turned = gather_pool(["dann", "source_only"], pick="last", dataset={}, data_dir=None, trust=())
    assert turned.sides().adapted


def test_without_the_source_nothing_is_said_of_a_shift(da: Any) -> None:
    for method in ("source_only", "dann"):
        assert da.train(f"method={method}", "steps=2", *WHOLE, run=method).code == 0
    ended = da("audit", RUNS)
    assert ended.code == 0, ended.err
    assert "whether there is a shift is not known: the run has no held-out source" in ended.out
    assert "missing" in state()["shift"]


def test_a_repeated_command_counts_nothing_twice_and_asks_nothing_twice(runs: Any) -> None:
    assert runs("audit", RUNS, "ask=8").code == 0
    answer(most=3)
    texts = []
    for _ in range(2):
        assert runs("audit", RUNS).code == 0
        texts.append((Path("audit") / "audit.json").read_text())
    assert texts[0] == texts[1]
    assert state()["labels"] == 3
    assert state()["asked"] == 8
    # what was typed stays, though the record was lost to a kill
    (Path("audit") / "audit.json").unlink()
    assert runs("audit", RUNS, "ask=8").code == 0
    assert state()["labels"] == 3


def test_answers_count_up_to_the_first_gap(runs: Any) -> None:
    assert runs("audit", RUNS, "ask=6").code == 0
    answer()
    rows = read_questions()
    rows[2][2] = ""
    Path("later.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    (Path("audit") / QUESTIONS).unlink()
    ended = runs("audit", RUNS, "labels=later.csv")
    assert ended.code == 0, ended.err
    assert state()["labels"] == 1
    assert "4 answers wait: question 2 comes before them" in ended.out


def test_wrong_files_of_answers_are_one_line(runs: Any) -> None:
    assert runs("audit", RUNS, "ask=3").code == 0
    answer(most=1)
    assert runs("audit", RUNS).code == 0
    head, first, second, _ = read_questions()
    other = "lower" if first[2] == "upper" else "upper"
    wrong = {
        "contradict": ([head, [*first[:2], other]], "was answered"),
        "class": ([head, [*second[:2], "cat"]], "'cat' is no class"),
        "question": ([head, ["9999", second[1], "0"]], "'9999' is no question"),
        "sample": ([head, ["2", "another", "upper"]], "question 2 is about"),
        "columns": ([["a", "b"], ["1", "2"]], "does not begin with the columns question"),
        "empty": ([], "does not begin with the columns question"),
    }
    before = (Path("audit") / "audit.json").read_text()
    for name, (rows, words) in wrong.items():
        Path(f"{name}.csv").write_text("\n".join(map(",".join, rows)))
        ended = runs("audit", RUNS, f"labels={name}.csv")
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert words in ended.err
    missing = runs("audit", RUNS, "labels=none.csv")
    assert (missing.code, missing.err.count("\n")) == (2, 1), missing.err
    assert (Path("audit") / "audit.json").read_text() == before


def test_another_audit_needs_another_folder(runs: Any) -> None:
    assert runs("audit", RUNS, "ask=3").code == 0
    for change in ("alpha=0.1", "seed=1", "accuracy=true", "run=[dann,source_only]"):
        ended = runs("audit", RUNS, change)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "out=NAME begins another" in ended.err
    assert runs("audit", RUNS, "alpha=0.1", "out=second").code == 0


def test_an_audit_goes_on_where_some_answers_are_others(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runs("audit", RUNS, "ask=6").code == 0
    answer(most=4)
    asked = [row[:2] for row in read_questions()]

    def elsewhere(*given: Any, **keys: Any) -> Pool:
        pool = gather_pool(*given, **keys)
        answers = pool.answers.copy()
        answers[1, pool.deciding[0]] = answers[0, pool.deciding[0]]
        return replace(pool, answers=answers)

    monkeypatch.setattr("da_framework.cli.audit.gather_pool", elsewhere)
    ended = runs("audit", RUNS, "ask=6")
    assert ended.code == 0, ended.err
    assert "1 of 200 samples are answered otherwise here" in ended.err + ended.out
    assert state()["labels"] == 4
    assert [row[:2] for row in read_questions()][: len(asked)] == asked
    checkpoint = torch.load("dann/checkpoints/last.ckpt")
    torch.save({"state_dict": checkpoint["state_dict"]}, "dann/checkpoints/last.ckpt")
    refused = runs("audit", RUNS)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "holds an audit of other weights" in refused.err


def test_what_cannot_be_audited_is_one_line(runs: Any) -> None:
    assert runs.train("dataset.split_seed=1", "dataset.protocol=inductive", run="other").code == 0
    for command, words in (
        (("run=[dann]",), "run"),
        (("run=[dann,dann]",), "twice"),
        (("run=[dann,nothing]",), "there is no result.json"),
        (("run=[dann,other]",), "its test samples are not those of dann"),
    ):
        ended = runs("audit", *command)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert words in ended.err
    assert not Path("audit").exists()


def test_what_was_found_stands_beside_the_record(runs: Any) -> None:
    assert runs("audit", RUNS, "ask=400", "accuracy=true").code == 0
    assert not (Path("dann") / "verified.json").exists()  # nothing was found yet
    answer()
    assert runs("audit", RUNS, "accuracy=true").code == 0
    pool = true_pool()
    right = (pool.answers == pool.labels).mean(1)
    gain = 100 * (right[1] - right[0])
    facts = json.loads((Path("dann") / "verified.json").read_text())
    assert facts["pairs"][0]["outcome"] == "better"
    assert facts["accuracy"] == [pytest.approx(right[1])] * 2
    other = json.loads((Path("source_only") / "verified.json").read_text())
    assert other["pairs"][0]["outcome"] == "worse"
    assert other["pairs"][0]["gain"] == [pytest.approx(-gain / 100)] * 2
    for command in (("doctor", "dann"), ("report", "source_only", "dann")):
        assert f"gain +{gain:.1f} points" in runs(*command).out
    assert runs("report", "dann", "--out", "page.html").code == 0
    assert "better beside source_only" in Path("page.html").read_text()
    accuracy = f"{100 * right[1]:.1f} to {100 * right[1]:.1f}"
    table = runs("report", "source_only", "dann").out
    assert "| verified |" in table
    assert f"| {accuracy} |" in table  # beside last, chosen and oracle
    card = Path("dann/MODEL.md").read_text()
    assert card.count("better beside source") == 1
    assert card.index("better beside source") < card.index("## Limits")
    assert "accuracy between" in runs.train("method=dann", "steps=60", run="dann").out
    (Path("dann") / "verified.json").write_text('{"labels": "<b>"}')
    damaged = runs("report", "source_only", "dann")
    assert damaged.code == 0
    assert damaged.err.count("\n") == 1


def test_a_verdict_on_other_weights_is_void(runs: Any) -> None:
    assert runs("audit", RUNS, "ask=5").code == 0
    answer()
    assert runs("audit", RUNS).code == 0
    assert "void" not in runs("doctor", "dann").out
    shutil.copy("source_only/checkpoints/last.ckpt", "dann/checkpoints/last.ckpt")
    assert "beside source_only" not in runs("doctor", "dann").out
    assert "audited, but of other weights" in runs("doctor", "dann").out
    assert "| void |" in runs("report", "source_only", "dann").out


def test_a_card_that_somebody_has_written_stays(runs: Any) -> None:
    Path("dann/MODEL.md").write_text("our own words\n")
    for _ in range(2):
        assert runs("audit", RUNS, "ask=5").code == 0
        answer()
    assert Path("dann/MODEL.md").read_text() == "our own words\n"
    card = Path("source_only/MODEL.md").read_text()
    assert card.count("- audited by") == 1  # in the place of what was there


@pytest.mark.slow
def test_what_was_found_is_sent_to_the_run_at_wandb(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for method in ("source_only", "dann"):
        steps = 2 if method == "source_only" else 40
        keys = (f"method={method}", f"steps={steps}", "logger=[wandb]")
        assert da.train(*keys, run=method).code == 0
    assert da("audit", RUNS, "ask=400").code == 0
    assert len(pieces(Path("dann"))) == 1
    answer()
    for _ in range(2):
        assert da("audit", RUNS).code == 0
        assert len(pieces(Path("dann"))) == 2  # news alone are sent
    first, second = map(whole, pieces(Path("dann")))
    assert {own.run_id for own in of(second, "run")} == {own.run_id for own in of(first, "run")}
    known = summary(second)
    (pair,) = state()["pairs"]
    assert known["verified/verdict"] == f"{pair['outcome']} beside source_only"
    assert [known["verified/gain/low"], known["verified/gain/high"]] == pair["gain"]


# what was answered, and training


def test_what_was_answered_changes_no_training(runs: Any) -> None:
    before = weights("dann")
    assert runs("audit", RUNS, "ask=40").code == 0
    answer()
    assert runs("audit", RUNS).code == 0
    assert runs.train("method=dann", "steps=60", "again=true", run="dann").code == 0
    after = weights("dann")
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = json.loads((Path("dann") / "result.json").read_text())
    assert again["audited"] == []
    assert not (Path("dann") / "verified.json").exists()


def weights(run: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(f"{run}/checkpoints/last.ckpt")["state_dict"]
    return state


def test_answers_are_learnt_from_if_asked_for_and_void_the_verdict(runs: Any) -> None:
    assert runs("audit", RUNS, "ask=30").code == 0
    answer()
    head, *rows = read_questions()
    rows[0][2] = CANNOT_TELL
    with Path("answers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    keys = ("method=dann", "steps=20", "dataset.labelled=answers.csv")
    ended = runs.train(*keys, run="more")
    assert ended.code == 0, ended.err
    assert "29 labels that an audit has asked for are learnt from" in ended.err + ended.out
    record = json.loads(Path("more/result.json").read_text())
    assert record["rows"]["target_labelled"] == 29
    assert sorted(record["audited"]) == sorted(row[1] for row in rows[1:])
    plain = json.loads(Path("dann/result.json").read_text())
    assert record["rows"]["test"] == plain["rows"]["test"] - 29
    assert (
        "29 of the labels it has learnt from are those of an audit"
        in Path("more/MODEL.md").read_text()
    )
    refused = runs("audit", "run=[source_only,more]", "trust=[answers.csv]", "out=other")
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
    assert "run=more: it has learnt from labels of 29 of these samples" in refused.err
    # other answers are another run; their file is among what it stands on
    rows[1][2] = CANNOT_TELL
    Path("answers.csv").write_text("\n".join(map(",".join, [head, *rows])) + "\n")
    assert runs.train(*keys, run="more").code == 0
    assert json.loads(Path("more/result.json").read_text())["rows"]["target_labelled"] == 28


def test_wrong_answers_to_learn_from_are_one_line(da: Any) -> None:
    line = "question,sample,label\n1,{},{}\n"
    for text, words in (
        (line.format("row 3 of rotated", "cat"), "'cat' is no class"),
        (line.format("row 9999 of rotated", "upper"), "no sample of the target is called row 9999"),
        ("a,b\n1,2\n", "does not begin with the columns question"),
    ):
        Path("answers.csv").write_text(text)
        ended = da.train("dataset.labelled=answers.csv")
        assert ended.code == 2
        assert words in ended.err
    missing = da.train("dataset.labelled=none.csv")
    assert missing.code == 2
    assert "none.csv cannot be read: No such file" in missing.err
    assert not Path("run").exists()


def test_estimates_are_quoted_with_what_they_were_off_by(da: Any) -> None:
    for method in ("source_only", "dann"):
        keys = (f"method={method}", "steps=4", "callback=[accuracy_estimators]")
        assert da.train(*keys, run=method).code == 0
    ended = da("audit", RUNS)
    assert ended.code == 0, ended.err
    assert "dann by estimates that no label proves: ac " in ended.out
    assert " points for source_only)" in ended.out


def test_of_two_seeds_the_agreement_is_quoted(da: Any) -> None:
    for seed in (1, 2):
        assert da.train("method=source_only", "steps=4", f"seed={seed}", run=f"s{seed}").code == 0
    ended = da("audit", "run=[s1,s2]")
    assert ended.code == 0, ended.err
    (pair,) = state()["pairs"]
    agreement = 1 - pair["differ"] / state()["pool"]
    assert [own["value"] for own in state()["estimates"]] == [pytest.approx(agreement)] * 2
    assert all(0 < own["off_by"] < 1 for own in state()["estimates"])
    assert "s1 by estimates that no label proves: gde " in ended.out


def test_accuracy_asks_for_samples_on_which_all_agree(runs: Any) -> None:
    assert runs("audit", RUNS, "accuracy=true", "ask=20").code == 0
    answer()
    ended = runs("audit", RUNS, "accuracy=true")
    assert "accuracy of dann: between " in ended.out
    pool = true_pool()
    assert "cannot tell" not in ended.out
    assert runs("audit", RUNS, "accuracy=true", "ask=1").code == 0
    head, *rows = read_questions()
    rows[-1][2] = CANNOT_TELL
    with (Path("audit") / QUESTIONS).open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    ended = runs("audit", RUNS, "accuracy=true")
    assert "1 of 21 answers are 'cannot tell': right for no run" in ended.out
    low, high = state()["accuracy"]["dann"]
    assert low <= (pool.answers[1] == pool.labels).mean() <= high


def test_it_is_simulated_with_true_labels(runs: Any) -> None:
    ended = runs("audit", RUNS, "simulate=true", "orders=20")
    assert ended.code == 0, ended.err
    assert "labels until a verdict, over 20 orders" in ended.out
    assert not Path("audit").exists()


def test_new_samples_are_audited(runs: Any) -> None:
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    np.savez("new.npz", x=x)
    keys = ("dataset=arrays", "dataset.root=new.npz")
    ended = runs("audit", RUNS, *keys, "ask=5")
    assert ended.code == 0, ended.err
    assert "50 samples" in ended.out
    assert state()["shift"]["tests"]["rows"][1] == 50
    refused = runs("audit", RUNS, *keys, "simulate=true", "out=s")
    assert "needs the true labels" in refused.err


def test_names_that_are_numbers_are_names(runs: Any) -> None:
    runs.copy("dann", "5")
    Path("2024").mkdir()
    np.save("2024/x.npy", np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32))
    keys = ("run=[source_only,5]", "dataset=arrays", "dataset.root=2024", "out=7")
    ended = runs("audit", *keys, "ask=2")
    assert ended.code == 0, ended.err
    assert state("7")["about"]["runs"] == ["source_only", "5"]


def test_accuracy_is_asked_for_where_all_runs_agree(runs: Any) -> None:
    runs.copy("dann", "same")
    ended = runs("audit", "run=[dann,same]", "accuracy=true", "ask=3")
    assert ended.code == 0, ended.err
    assert "there is nothing to decide" in ended.out
    assert "accuracy of same: between 0.0% and 100.0%" in ended.out
    assert "3 questions wait" in ended.out


def test_a_class_that_is_no_answer_is_refused(runs: Any) -> None:
    np.save("x.npy", np.zeros((3, 2), np.float32))
    record = Path("dann") / "result.json"
    record.write_text(record.read_text().replace('"upper"', '"Cannot tell"'))
    ended = runs("audit", RUNS, "dataset=arrays", "dataset.root=x.npy")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert "a class is named 'Cannot tell'" in ended.err


def test_runs_that_scale_the_same_samples_otherwise_are_compared(da: Any) -> None:
    random = np.random.default_rng(0)
    Path("rows").mkdir()
    for name, shift in (("a", 0), ("b", 5), ("t", 2)):
        x = random.normal(shift, 1, (30, 2))
        lines = [f"{one:.3f},{two:.3f},{'no' if one < shift else 'yes'}" for one, two in x]
        Path("rows", f"{name}.csv").write_text("\n".join(["p,q,label", *lines]) + "\n")
    keys = ("dataset=table", "dataset.root=rows", "dataset.target=[t]", "steps=2")
    for source in ("a", "b"):
        assert da.train(*keys, f"dataset.source=[{source}]", run=f"from_{source}").code == 0
    ended = da("audit", "run=[from_a,from_b]", "dataset.root=rows/t.csv", "ask=2")
    assert ended.code == 0, ended.err
    before = state()["about"]["samples"]
    with Path("rows/t.csv").open("a") as file:
        file.write("9,9,yes\n")
    assert da("audit", "run=[from_a,from_b]", "dataset.root=rows/t.csv", "out=b").code == 0
    assert state("b")["about"]["samples"] != before


@pytest.mark.parametrize("name", ["rows", "arrays"])
def test_answers_that_were_learnt_from_are_known_by_what_samples_hold(da: Any, name: str) -> None:
    random = np.random.default_rng(0)
    Path("rows").mkdir()
    Path("arrays").mkdir()
    for domain in ("s", "t", "u"):
        x, y = random.normal(3, 9, (40, 2)).astype(np.float32), np.arange(40) % 2
        lines = [
            f"{one:.3f},{two:.3f},{'no' if own else 'yes'}"
            for (one, two), own in zip(x, y, strict=True)
        ]
        Path("rows", f"{domain}.csv").write_text("\n".join(["p,q,label", *lines]) + "\n")
        np.savez(f"arrays/{domain}.npz", x=x, y=y)
    kind, ending = ("table", "csv") if name == "rows" else ("arrays", "npz")
    places = (f"dataset={kind}", f"dataset.root={name}", "dataset.source=[s]", "dataset.target=[t]")
    keys = (*places, "dataset.val=0.2", "method=source_only", "steps=2")
    assert da.train(*keys, run="plain").code == 0
    assert da.train(*keys, "seed=2", run="other").code == 0
    audited = ("run=[plain,other]", f"trust=[{name}]", "accuracy=true", "ask=5")
    assert da("audit", *audited).code == 0
    head, *rows = read_questions()
    answers = [[*row[:2], "1" if name == "arrays" else "yes"] for row in rows]
    with Path("answers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *answers])
    ended = da.train(*keys, "dataset.labelled=answers.csv", "method=joint", run="learnt")
    assert ended.code == 0, ended.err
    learnt = json.loads(Path("learnt/result.json").read_text())
    assert len(set(learnt["audited_content"])) == 5
    Path("elsewhere").mkdir()
    for domain, copy in (("t", "copy"), ("u", "t")):
        shutil.copy(f"{name}/{domain}.{ending}", f"elsewhere/{copy}.{ending}")
    new = ("run=[plain,learnt]", f"dataset={kind}", "out=new")
    refused = da("audit", *new, f"dataset.root=elsewhere/copy.{ending}")
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
    assert "has learnt from labels of 5 of these samples" in refused.err
    taken = da("audit", *new, f"dataset.root=elsewhere/t.{ending}")  # others, of the same name
    assert taken.code == 0, taken.err


def test_runs_are_called_by_what_tells_them_apart() -> None:
    pool = pictured_pool()
    for runs, names in (
        (("runs/a/dann", "runs/a/mmd"), ["dann", "mmd"]),
        (("runs/a/dann", "runs/b/dann"), ["a/dann", "b/dann"]),
        (("a/x/dann", "b/x/dann"), ["a/x/dann", "b/x/dann"]),
        (("dann", "x/dann"), ["dann", "x/dann"]),
        (("a/dann-x-0123abcd", "a/mmd-x-0123abce"), ["dann", "mmd"]),
        (
            ("a/dann-x-seed_1-0123abcd", "a/dann-x-seed_2-0123abce"),
            ["dann-x-seed_1", "dann-x-seed_2"],
        ),
        (("a/dann-x-0123abcd", "a/dann-x-0123abce"), ["dann-x-0123abcd", "dann-x-0123abce"]),
        (("a/my-first", "a/your-first"), ["my-first", "your-first"]),
    ):
        assert replace(pool, runs=runs).short_names == names


def test_folders_called_as_classes_are_not_named_to_who_labels(tmp_path: Path) -> None:
    pool = pictured_pool()
    samples = tuple(f"phone/{'Cup' if n % 2 else 'else'}/cup{n}.png" for n in range(pool.size))
    pool = replace(pool, samples=samples)
    questions = Questions(tmp_path, {}, pool.order(0, accuracy=False), asked=6)
    write_label_page(tmp_path / "label.html", pool, questions)
    text = (tmp_path / "label.html").read_text()
    data = json.loads(text.partition("const data = ")[2].partition(";\n")[0])
    for own in data["questions"]:
        assert own["sample"] == own["cell"].replace("/Cup/", "/.../")
    questions.write(pool, {})
    file = tmp_path / QUESTIONS
    assert "/Cup/" not in file.read_text()
    assert "phone/.../cup" in file.read_text()
    file.write_text(
        "\n".join(line + "cup" * (n > 2) for n, line in enumerate(file.read_text().splitlines()))
    )
    questions.read(file, pool)
    questions.write(pool, {})
    assert sorted(questions.answers) == [3, 4, 5, 6]
    for line in file.read_text().splitlines()[1:]:  # what was answered has its name
        question, sample, _ = line.split(",")
        place = int(questions.order[int(question) - 1])
        assert sample == (samples[place] if int(question) > 2 else pool.blind_name(place))


# the page of questions


def pictured_pool() -> Pool:
    random = np.random.default_rng(0)
    answers = np.stack([np.arange(12) % 3, (np.arange(12) + 1) % 3])
    samples = (*(f"{n}.png" for n in range(10)), '=odd,"name"', "<b>bold</b>")
    return Pool(
        ("one", "two"),
        samples,
        ("cup", "pen & ink", "=hat"),
        answers,
        answers[0],
        "content",
        lambda row: random.integers(0, 255, (16, 16, 3)).astype(np.uint8),
    )


def test_the_page_of_questions_says_nothing_of_the_runs(tmp_path: Path) -> None:
    pool = pictured_pool()
    questions = Questions(tmp_path, {}, pool.order(0, accuracy=False), asked=5)
    write_label_page(tmp_path / "label.html", pool, questions)
    text = (tmp_path / "label.html").read_text()
    data = json.loads(text.partition("const data = ")[2].partition(";\n")[0])
    assert all(
        set(own) == {"question", "sample", "cell", "picture", "cells"} for own in data["questions"]
    )
    assert set(data) == {"audit", "classes", "questions"}


def asked_on_page() -> list[dict[str, Any]]:
    text = (Path("audit") / "label.html").read_text()
    asked: list[dict[str, Any]]
    asked = json.loads(text.partition("const data = ")[2].partition(";\n")[0])["questions"]
    return asked


@pytest.mark.slow
def test_the_page_shows_rows_but_not_their_labels(da: Any) -> None:
    random = np.random.default_rng(0)
    Path("rows").mkdir()
    for name in ("s", "t"):
        y = np.arange(30) % 2
        lines = [
            f"{number},{x:.3f},{'' if number == 3 else number},{('no', 'yes')[label]}"
            for number, (x, label) in enumerate(zip(random.normal(y), y, strict=True))
        ]
        Path("rows", f"{name}.csv").write_text("\n".join(["id,p,n,label", *lines]) + "\n")
    keys = ("dataset=table", "dataset.root=rows", "dataset.source=[s]", "dataset.drop=[id]")
    for method, steps in (("source_only", 1), ("dann", 40)):
        words = (*keys, f"method={method}", f"steps={steps}", "dataset.missing=mean")
        assert da.train(*words, "optimizer.lr=0.1", run=method).code == 0
    for place in ("trust=[rows]", "dataset.root=rows/t.csv"):
        ended = da("audit", RUNS, place, "ask=30", "accuracy=true")
        assert ended.code == 0, ended.err
        rows = {row["cells"][0][1][0]: row for row in asked_on_page()}
        assert len(rows) == 30
        file = Path("rows", "t.csv").read_text().splitlines()
        for number, own in rows.items():
            _, p, n, _ = file[int(number) + 1].split(",")
            shown = {name: "".join(lines) for name, lines in own["cells"]}
            assert shown["n"] == n
            assert float(shown["p"]) == float(p)
            assert shown.keys() == {"id", "p", "n"}  # and so no label
        shutil.rmtree("audit")


@pytest.mark.slow
def test_the_page_shows_texts_and_series(da: Any) -> None:
    random = np.random.default_rng(0)
    Path("texts").mkdir()
    Path("series").mkdir()
    for name in ("s", "t"):
        y = np.arange(30) % 2
        texts = [" ".join(random.choice(["ink", "hat"], 5, p=[k, 1 - k])) for k in 0.3 + 0.4 * y]
        lines = [f'"{text},\nsecond line",{label}' for text, label in zip(texts, y, strict=True)]
        Path("texts", f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
        x = random.normal(size=(30, 2, 12)) + y[:, None, None]
        np.savez(f"series/{name}.npz", x=x.astype(np.float32), y=y)
    text = ("dataset=text", "network=text", "dataset.length=8")
    series = ("dataset=arrays", "network=cnn1d")
    for kind, new, keys in (("texts", "t.csv", text), ("series", "t.npz", series)):
        for method, steps in (("source_only", 1), ("dann", 3)):
            words = (*keys, f"dataset.root={kind}", "dataset.source=[s]", f"method={method}")
            assert da.train(*words, f"steps={steps}", run=f"{kind}-{method}").code == 0
        runs = f"run=[{kind}-source_only,{kind}-dann]"
        for place in (f"trust=[{kind}]", f"dataset.root={kind}/{new}"):
            ended = da("audit", runs, place, "ask=5", "accuracy=true")
            assert ended.code == 0, ended.err
            for own in asked_on_page():
                if kind == "texts":
                    ((column, lines),) = own["cells"]
                    assert (column, lines[1]) == ("text", "second line")
                    assert set(lines[0].strip(",").split()) <= {"ink", "hat"}
                else:
                    assert own["picture"].startswith("data:image/")
            shutil.rmtree("audit")


@browsing
def test_a_row_is_shown_as_it_is(tmp_path: Path, browser: Browser) -> None:
    row = {"<b>name</b>": "1,5 & more", "text": "one\ntwo", "long": "x" * 5000}
    pool = replace(
        pictured_pool(), description=lambda sample: row | {f"n{i}": "0" for i in range(99)}
    )
    questions = Questions(tmp_path, {}, pool.order(0, accuracy=False), asked=2)
    write_label_page(tmp_path / "label.html", pool, questions)
    browser.open(tmp_path / "label.html")
    assert browser.complaints() == []
    assert browser.texts("#cells dt")[:3] == [*row]
    shown = browser.texts("#cells dd")
    assert shown[:2] == ["1,5 & more", "one\ntwo"]
    assert len(shown[2]) < 4100
    assert shown[-1] == "and 2 columns more"


@browsing
def test_a_person_answers_in_a_browser(tmp_path: Path, browser: Browser) -> None:
    pool = pictured_pool()
    questions = Questions(tmp_path, {}, pool.order(0, accuracy=False), asked=12)
    write_label_page(tmp_path / "label.html", pool, questions)
    browser.open(tmp_path / "label.html")
    assert browser.complaints() == []
    assert browser.texts("#count") == ["0 of 12"]
    assert browser.js("document.getElementById('picture').naturalWidth") == 16
    for _ in range(3):  # a starved browser may lose what it stored; a page may not
        for n in range(10):
            browser.click(f"#classes button:nth-child({n % 3 + 1})")
        browser.type("body", " ")  # who cannot tell
        browser.type("body", "3")
        assert browser.texts("#count") == ["12 of 12"]
        browser.open(tmp_path / "label.html")  # what was answered is still there
        if browser.texts("#count") != ["0 of 12"]:
            break
    assert browser.texts("#count") == ["12 of 12"]
    (tmp_path / "answers.csv").write_text(browser.js("csv()"))
    assert browser.js("document.querySelectorAll('b').length") == 0
    questions.read(tmp_path / "answers.csv", pool)
    assert [questions.answers[n + 1] for n in range(10)] == [n % 3 for n in range(10)]
    assert questions.answers[11] == -1
    assert questions.answers[12] == 2
    questions.write(pool, {})
    assert CANNOT_TELL in (tmp_path / QUESTIONS).read_text()
    again = Questions.open(tmp_path, {}, questions.order, 3)
    again.read(tmp_path / QUESTIONS, pool)
    assert again.answers == questions.answers
