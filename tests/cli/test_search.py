"""A search: what it takes, how it chooses, and that it goes on as if nothing had happened."""

import json
import math
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from da_framework.cli.search import Interval, OneOf, Search, parse_space
from da_framework.core.errors import InputError
from tests.killed import Killed, die_at_steps

SPACE = ("method=source_only,mmd", "optimizer.lr=log(1e-3,0.3)")
KEYS = ("evaluate_every=5", "checkpoint_every=5")


def searched(da: Any, *overrides: str, folder: str = "search") -> Any:
    return da("search", *da.small, *KEYS, *overrides, f"folder={folder}")


def summary(da: Any, folder: str = "search") -> dict[str, Any]:
    text = (da.folder / folder / "search.json").read_text()
    actual: dict[str, Any] = json.loads(text)
    return actual


def records(folder: Path) -> dict[str, Any]:
    files = {file.parent.name: file for file in folder.glob("*/result.json")}
    return {name: json.loads(file.read_text())["target"] for name, file in files.items()}


# what it takes


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("optimizer.lr=log(1e-4,1e-1)", Interval(1e-4, 1e-1, log=True)),
        ("method.weight=interval(0.0, 2)", Interval(0.0, 2, log=False)),
        ("steps=log(10,1000)", Interval(10, 1000, log=True)),
        ("method=dann,mmd", OneOf(["dann", "mmd"])),
        ("dataset.source=[mnist],[usps]", OneOf(["[mnist]", "[usps]"])),
        ("seed=range(1,4)", OneOf(["1", "2", "3"])),
    ],
)
def test_values_are_those_of_a_sweep_or_an_interval(word: str, expected: OneOf | Interval) -> None:
    space, fixed = parse_space([word, "method.hidden=[3,4]"])
    assert space == {word.partition("=")[0]: expected}
    assert fixed == ["method.hidden=[3,4]"]
    whole = isinstance(expected, Interval) and isinstance(expected.low, int)
    assert whole == word.startswith("steps")


@pytest.mark.parametrize(
    ("word", "overrides"),
    [
        ("optimizer.lr=log(1e-4)", "two numbers are needed, as in optimizer.lr=log(0.001,0.1)"),
        ("optimizer.lr=log(a,b)", "two numbers are needed"),
        ("optimizer.lr=interval(nan,1)", "two numbers are needed"),
        ("optimizer.lr=interval(2,1)", "the bounds must be low < high"),
        ("optimizer.lr=log(0,1)", "the bounds must be 0 < low < high"),
        ("optimizer.lr=tag(log,interval(1,2))", "an interval is written log(0.001,0.1) or"),
        ("seed=1,", "seed=1,: "),
        ("seed", "missing EQUAL"),
        ("-m", "one after the other"),
        ("hydra/launcher=joblib", "one after the other"),
        ("trainer.devices=2", "trials share a process"),
        ("validator=entropy,snd", "scores of different validators cannot be compared"),
        ("validator.temperature=1,2", "scores of different validators cannot be compared"),
        ("trials=0", "trials: "),
        ("trial=2", "trial=2: there is no such key; did you mean trials?"),
        ("objectiv=oracle", "did you mean objective?"),
        ("objective=accuracy", "objective: "),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(da: Any, word: str, overrides: str) -> None:
    ended = da("search", "method=dann,mmd", word)
    assert ended.code == 2
    assert overrides in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not list(da.folder.iterdir())


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InputError) as output:
        parse_space(["seed=1,", "optimizer.lr=log(1)", "method=dann"])
    assert len(str(output.value).splitlines()) == 2


def test_nothing_to_search_is_an_error(da: Any) -> None:
    ended = da("search", "method=dann", "seed=1")
    assert ended.code == 2
    assert ended.err.startswith("nothing to search: give a key several values (method=dann,mmd)")


def test_help_shows_the_keys_with_their_defaults(da: Any) -> None:
    for arguments in (("search",), ("search", "--help")):
        ended = da(*arguments)
        assert (ended.code, ended.err) == (0, "")
        assert "  trials=20 " in ended.out
        assert "'optimizer.lr=log(1e-4,1e-1)'" in ended.out


def test_a_search_that_none_can_run_ends_at_once_and_begins_anew_when_mended(da: Any) -> None:
    # the file that the network would begin with is not there yet
    overrides = ("seed=1,2", "method=fine_tuning", "init_from=start", "dataset.labels_per_class=3")
    ended = searched(da, *overrides, "trials=2")
    assert ended.code == 2
    assert ended.err.startswith("no trial could be run; the last: ")
    assert da.train("method=source_only", run="start").code == 0
    assert searched(da, *overrides, "trials=2").code == 0
    assert [trial["state"] for trial in summary(da)["trials"]] == ["done", "done"]


def test_a_folder_may_have_any_name(da: Any) -> None:
    ended = searched(da, "seed=1,2", "trials=1", folder="it's mine")
    assert (ended.code, ended.err) == (0, "")
    assert len(records(da.folder / "it's mine")) == 1


@pytest.mark.parametrize(
    ("values", "given", "expected"),
    [
        (OneOf(["1", "2"]), "2", "2"),
        (OneOf(["1", "2"]), "method={_target_: evil.Thing}", None),
        (OneOf(["1", "2"]), ["1"], None),
        (Interval(1, 9, log=False), 3, "3"),
        (Interval(1, 9, log=False), 10, None),
        (Interval(0.1, 0.9, log=True), 0.25, "0.25"),
        (Interval(0.1, 0.9, log=True), float("nan"), None),
        (Interval(0.1, 0.9, log=True), "0.5 evil=1", None),
        (Interval(0.1, 0.9, log=True), None, None),
    ],
)
def test_a_value_is_one_of_those_that_are_searched(
    values: OneOf | Interval, given: Any, expected: str | None
) -> None:
    assert values.text(given) == expected


def test_a_journal_from_elsewhere_brings_no_other_values(da: Any) -> None:
    assert searched(da, "seed=1,2", "trials=1").code == 0
    journal = da.folder / "search" / "journal.log"
    written = journal.read_text()
    for old, new in ((r"\"2\"", r"\"/evil\""), ('"seed"', '"steps"')):
        assert old in written
        journal.write_text(written.replace(old, new))
        ended = searched(da, "seed=1,2", "trials=1")
        assert (ended.code, len(ended.err.splitlines())) == (2, 1), ended
        assert ended.err.startswith("search holds another search: ")
        assert "evil" not in (da.folder / "search" / "search.json").read_text()


# how it chooses


def test_the_best_by_the_validator_is_named_with_its_command(da: Any) -> None:
    ended = searched(da, *SPACE, "trials=3", "pruning=false")
    assert (ended.code, ended.err) == (0, "")
    actual = summary(da)
    runs = records(da.folder / "search")
    scores = [runs[trial["folder"]]["chosen"]["score"] for trial in actual["trials"]]
    assert [trial["value"] for trial in actual["trials"]] == scores
    best = actual["trials"][scores.index(max(scores))]
    assert actual["best"] == best["command"]
    assert ended.out.endswith(f"  {best['command']}\n")
    assert "note" not in actual
    assert "without a label" in ended.out
    # the command is whole, and nothing of the search is in it
    alone = da(*shlex.split(best["command"])[1:], "hydra.run.dir=alone")
    assert alone.code == 0
    expected = da.record(f"search/{best['folder']}")
    assert da.record("alone")["target"] == expected["target"]
    assert da.record("alone")["key"] == expected["key"]
    assert da.record("alone")["command"] == expected["command"]


def test_a_trial_without_a_finite_score_is_no_best_one(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entropy(outputs: Any) -> float:
        return math.nan

    monkeypatch.setattr("da_framework.validators.entropy.entropy", entropy)
    ended = searched(da, "seed=1,2", "validator=entropy", "trials=1")
    assert ended.code == 2
    assert "no trial could be run; the last: no score of entropy is finite" in ended.err


def test_a_choice_by_target_labels_is_stamped(da: Any) -> None:
    ended = searched(da, *SPACE, "trials=3", "objective=oracle", "pruning=false")
    assert ended.code == 0
    assert "chosen by target labels" in ended.out
    actual = summary(da)
    assert actual["note"].startswith("chosen by target labels")
    runs = records(da.folder / "search")
    values = [trial["value"] for trial in actual["trials"]]
    assert values == [runs[t["folder"]]["oracle"]["accuracy"] for t in actual["trials"]]


def test_a_failing_trial_fails_alone(da: Any) -> None:
    overrides = ("method=joint", "dataset.labels_per_class=2,9999")
    ended = searched(da, *overrides, "trials=4", "pruning=false")
    assert ended.code == 0
    states = [trial["state"] for trial in summary(da)["trials"]]
    assert set(states) == {"done", "failed"}
    lines = [line for line in ended.out.splitlines() if "failed: dataset.labels_per_class" in line]
    assert len(lines) == states.count("failed")
    assert "has only 339 training samples" in lines[0]


# how it goes on


class Begun:
    """A trial that ended this process so often."""

    def __init__(self, begun: int) -> None:
        self.user_attrs = {"begun": begun}

    def set_user_attr(self, name: str, value: int) -> None:
        self.user_attrs[name] = value


def test_a_trial_that_has_ended_the_process_twice_lets_the_others_go_first() -> None:
    during: list[int] = []
    for begun in range(3):
        trial = Begun(begun)

        def train(arguments: list[str], pruning: Any, trial: Begun = trial) -> tuple[int, str]:
            during.append(trial.user_attrs["begun"])
            return 0, "done"

        search: Any = SimpleNamespace(train=train)
        code, message = Search.attempt(search, trial, [], None)  # type: ignore[arg-type]
        assert trial.user_attrs["begun"] == 0
        assert (code == 1) == message.startswith("it has ended its process twice") == (begun == 2)
    assert during == [1, 2]  # what a kill leaves


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = searched(da, *SPACE, "trials=7", folder="whole")
    die_at_steps(monkeypatch, 33, 58)
    for _ in range(2):
        with pytest.raises(Killed):
            searched(da, *SPACE, "trials=7", folder="killed")
        with (da.folder / "killed" / "journal.log").open("a") as journal:
            journal.write('{"op_code": 4, "wor')  # cut in the middle of a line
        (da.folder / "killed" / "journal.log.lock").symlink_to("nobody")
    last = searched(da, *SPACE, "trials=7", folder="killed")
    assert (whole.code, last.code) == (0, 0)
    states = [trial["state"] for trial in summary(da, "whole")["trials"]]
    assert len(states) == 7
    assert set(states) == {"done", "pruned"}
    assert summary(da, "killed") == summary(da, "whole")
    assert records(da.folder / "killed") == records(da.folder / "whole")
    assert last.out.splitlines()[-2:] == whole.out.splitlines()[-2:]
    # pruned runs have no result; more trials go on from there
    assert len(records(da.folder / "whole")) <= states.count("done")
    more = searched(da, *SPACE, "trials=8", folder="whole")
    assert more.out.startswith("trial 8 of 8: ")
    assert summary(da, "whole")["trials"][:7] == summary(da, "killed")["trials"]


def test_another_search_in_its_folder_is_refused(da: Any) -> None:
    assert searched(da, *SPACE, "trials=1").code == 0
    ended = searched(da, "method=source_only,mmd", "trials=1")
    assert ended.code == 2
    assert ended.err.startswith("folder=search holds another search: ")
