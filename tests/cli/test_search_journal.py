"""A journal of a search: what is an entry of ours, and what is left of a damaged one."""

import json
from pathlib import Path
from typing import Any

import pytest

from da_framework.cli.search_journal import is_entry, mend_journal
from tests.test_damage import JOURNAL, journal_lines

OF_TRIAL = {"worker_id": "one", "trial_id": 0}
WRONG: dict[str, Any] = {
    "not begun": {**OF_TRIAL, "op_code": 8, "user_attr": {"begun": None}},
    "begun so often": {**OF_TRIAL, "op_code": 8, "user_attr": {"begun": 3}},
    "a step that is none": {**OF_TRIAL, "op_code": 7, "step": "2", "intermediate_value": 0.5},
    "worth nothing": {**OF_TRIAL, "op_code": 7, "step": 2, "intermediate_value": float("nan")},
    "a key that is none": {
        **{**OF_TRIAL, "op_code": 5, "param_name": True, "param_value_internal": 0},
        "distribution": "{}",
    },
    "of no time": {"worker_id": "one", "op_code": 4, "study_id": 0, "datetime_start": "noon"},
    "of another study": {
        "worker_id": "one",
        "op_code": 2,
        "study_id": 1,
        "user_attr": {"what": []},
    },
    "deleted": {"worker_id": "one", "op_code": 1, "study_id": 0},
    "a truth": {"worker_id": "one", "op_code": True, "study_id": 0},
    "no mapping": [],
}


@pytest.mark.parametrize("entry", JOURNAL, ids=lambda entry: str(entry["op_code"]))
def test_what_a_search_writes_is_an_entry(entry: Any) -> None:
    line = json.dumps(entry).encode()
    assert is_entry(line + b"\n")
    assert not is_entry(line)  # cut at its end


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
