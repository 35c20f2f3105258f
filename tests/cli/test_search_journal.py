"""A journal of a search: what is an entry of ours, and what is left of a damaged one."""

import json
from pathlib import Path
from typing import Any

import pytest

from da_framework.cli.search_journal import is_entry, mend_journal
from tests.test_damage import JOURNAL, journal_lines

WRONG: dict[str, Any] = {
    "of another study": {**JOURNAL[1], "study_id": 1},
    "of no time": {**JOURNAL[2], "datetime_start": "noon"},
    "a key that is none": {**JOURNAL[3], "param_name": True},
    "not begun": {**JOURNAL[4], "user_attr": {"begun": None}},
    "begun so often": {**JOURNAL[4], "user_attr": {"begun": 3}},
    "a step that is none": {**JOURNAL[5], "step": "2"},
    "worth nothing": {**JOURNAL[5], "intermediate_value": float("nan")},
    "worth two numbers": {**JOURNAL[7], "values": [0.5, 0.5]},
    "deleted": {"worker_id": "one", "op_code": 1, "study_id": 0},
    "no mapping": [],
}
"""Entries of a journal with one thing changed, an operation that no search does, and no entry."""


@pytest.mark.parametrize("entry", JOURNAL, ids=lambda entry: str(entry["op_code"]))
def test_an_entry_has_an_end(entry: Any) -> None:
    line = json.dumps(entry).encode()
    assert is_entry(line + b"\n")
    assert not is_entry(line)


def test_what_a_study_writes_is_an_entry(tmp_path: Path) -> None:
    """By the installed version, whatever a trial does and however it ends."""
    optuna = pytest.importorskip("optuna")
    from optuna.storages.journal import JournalFileBackend

    journal = tmp_path / "journal.log"
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(study_name="search", storage=storage, direction="maximize")
    study.set_user_attr("what", ["method=dann,mmd"])
    for number, end in enumerate(({"values": 0.5}, {"state": optuna.trial.TrialState.PRUNED})):
        trial = study.ask()
        trial.set_user_attr("begun", 1)
        trial.suggest_categorical("method", ["dann", "mmd"])
        trial.suggest_float("optimizer.lr", 1e-4, 0.1, log=True)
        trial.suggest_int("steps", 1, 9)
        trial.report(0.25, 2)
        study.tell(number, **end)
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 2 + 2 * 7
    assert all(map(is_entry, lines))


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_entry_is_cut_with_what_follows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    journal = tmp_path / "journal.log"
    sound = journal_lines(JOURNAL[:4])
    journal.write_bytes(sound + journal_lines([WRONG[wrong], *JOURNAL[4:]]))
    mend_journal(journal)
    assert journal.read_bytes() == sound
    assert "damaged" in capsys.readouterr().out


def test_a_journal_is_cut_before_what_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "journal.log"
    mend_journal(journal)
    assert journal.read_bytes() == b""
    lines = journal_lines(JOURNAL).splitlines(keepends=True)[:2]
    for tail in (b"", b'{"op_c', b"\0" * 9):
        journal.write_bytes(b"".join(lines) + tail)
        mend_journal(journal)
        assert journal.read_bytes() == b"".join(lines)
    assert capsys.readouterr().out == ""  # half a line is what a kill leaves
    for middle in (b"\0\0\n", b"[]\n", b"{\n"):
        journal.write_bytes(lines[0] + middle + lines[1])
        mend_journal(journal)
        assert journal.read_bytes() == lines[0]
        assert "is damaged; trials that it has lost are looked up" in capsys.readouterr().out
