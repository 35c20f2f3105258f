"""Damaged files harm themselves alone: no traceback, and nothing is written beside the folder."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from da_framework.audit.pool import UNKNOWN, Pool
from da_framework.audit.questions import Questions
from da_framework.cli.main import main
from da_framework.cli.search import Search
from da_framework.cli.sweeps import STATES, read_state, read_unended
from da_framework.core.errors import InputError
from da_framework.datasets.arrays import read_arrays
from da_framework.datasets.table_files import read_table
from da_framework.training.restore import restore_model
from da_framework.training.warm_start import read_network_state
from tests.conftest import commanding
from tests.damaged import changed, damaged_json, nothing_written_outside, torn
from tests.run_records import table_record, write_run

FINISHED = Path(__file__).parent / "training" / "run_of_0_1"
RECORD: Any = json.loads((FINISHED / "result.json").read_text())
KEPT: Any = [table_record(), table_record(seed=2)]

few = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=int(os.environ.get("CASES", "300")))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A working folder with a run that is sound, and room for one that is not."""
    sound = {**RECORD, "config": {**RECORD["config"], "seed": 7}}  # of no other run here
    write_run(tmp_path / "runs" / "sound", sound)
    (tmp_path / "runs" / "other").mkdir()
    with commanding(tmp_path):
        yield tmp_path


def ends_well(folder: Path, *arguments: str) -> int:
    """The exit code of a command, which is no traceback and writes in its folder alone."""
    code: Any = 0
    with nothing_written_outside(folder):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    assert code in (0, 2)
    return int(code)


def check_reports(folder: Path, content: bytes) -> None:
    other = folder / "runs" / "other"
    (other / "result.json").write_bytes(content)
    outs = [f"--out={folder / name}" for name in ("a.html", "a.md", "a.csv")]
    assert ends_well(folder, "report", "runs", *outs, f"--keep={folder / 'kept.json'}") == 0
    assert ends_well(folder, "doctor", str(folder / "runs" / "sound"), str(other)) == 0


def check_restored(folder: Path, content: bytes) -> None:
    other = folder / "runs" / "other"
    shutil.copytree(FINISHED, other, dirs_exist_ok=True)
    (other / "result.json").write_bytes(content)
    with nothing_written_outside(folder), suppress(InputError):
        restore_model(str(other), pick="last")


def check_kept(folder: Path, content: bytes) -> None:
    (folder / "kept.json").write_bytes(content)
    ends_well(folder, "report", "kept.json")
    assert ends_well(folder, "report", "kept.json", "runs") == 0


def check_read(folder: Path, content: bytes, name: str, read: Callable[[Path], object]) -> None:
    (folder / name).write_bytes(content)
    with nothing_written_outside(folder), suppress(InputError):
        read(folder / name)


def packed_arrays() -> bytes:
    """An ``.npz`` as a user has it."""
    stream = BytesIO()
    np.savez(stream, x=np.zeros((3, 2), np.float32), y=np.arange(3))
    return stream.getvalue()


SEARCHED = ("search", "method=source_only,mmd", "steps=2", "trials=2", "folder=found")


def trained(self: Search, arguments: list[str], pruning: Any) -> tuple[int, str]:
    """A trial that has a record at once."""
    folder = Path(arguments[-1].removeprefix("hydra.run.dir="))
    if not folder.is_dir():
        write_run(folder, RECORD)
    return 0, ""


def trial_entries(number: int) -> list[dict[str, Any]]:
    """What a journal says of a trial: its beginning, its value, an evaluation, its end."""
    began = {"op_code": 4, "study_id": 0, "datetime_start": f"2026-11-28T10:1{number}:00.5+00:00"}
    distribution = (
        '{"name": "CategoricalDistribution", "attributes": {"choices": ["source_only", "mmd"]}}'
    )
    of_trial = {"trial_id": number}
    value = {"param_name": "method", "param_value_internal": number, "distribution": distribution}
    return [
        began,
        {"op_code": 5, **of_trial, **value},
        {"op_code": 8, **of_trial, "user_attr": {"begun": 1}},
        {"op_code": 7, **of_trial, "step": 2, "intermediate_value": 0.5},
        {"op_code": 8, **of_trial, "user_attr": {"begun": 0}},
        {
            "op_code": 6,
            **of_trial,
            "state": 1,
            "values": [0.5],
            "datetime_complete": began["datetime_start"],
        },
    ]


WHAT = ["method=source_only,mmd", "objective=validator", "steps=2"]
JOURNAL: list[Any] = [
    {"worker_id": "one", **entry}
    for entry in (
        {"op_code": 0, "study_name": "search", "directions": [2]},
        {"op_code": 2, "study_id": 0, "user_attr": {"what": WHAT}},
        *trial_entries(0),
        *trial_entries(1)[:3],  # it was killed while it trained
    )
]


def journal_lines(entries: list[Any]) -> bytes:
    """A journal as it is written."""
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def check_journals(folder: Path, content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Search, "train", trained)
        shutil.rmtree("found", ignore_errors=True)
        Path("found").mkdir()
        Path("found", "journal.log").write_bytes(content)
        ends_well(folder, *SEARCHED)


POOL = Pool(
    runs=("a", "b"),
    samples=("u.png", "v.png", "w.png"),
    classes=("cat", "dog"),
    answers=np.array([[0, 0, 1], [1, 1, 0]]),
    labels=np.array([UNKNOWN] * 3),
    content="",
)
ABOUT = {"runs": ["a", "b"], "samples": "1f", "pick": "last", "alpha": 0.05, "seed": 0}
AUDIT = {"about": ABOUT, "asked": 3, "answers": {"1": 0, "2": UNKNOWN}, "pairs": []}
ASKED = b"question,sample,label\n1,u.png,cat\n2,v.png,cannot tell\n3,w.png,\n"
VERIFIED: Any = {
    **{"samples": 3, "digest": "1f", "pick": "last", "labels": 2, "alpha": 0.05},
    "pairs": [{"beside": "b", "outcome": "better", "gain": [0.1, 0.3], "labels": 2}],
    **{"accuracy": [0.4, 0.6], "weights": None},
}
STATE: Any = {"state": "running", "folder": "sweep/0", "began": 1.5}


def check_audits(folder: Path, content: bytes, name: str) -> None:
    """The record of an audit, or its answers; what is read can be written once more."""
    place = folder / "audit"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / name).write_bytes(content)
    with nothing_written_outside(folder), suppress(InputError):
        questions = Questions.open(place, ABOUT, np.arange(3), len(POOL.classes))
        if (place / "questions.csv").is_file():
            questions.read(place / "questions.csv", POOL)
        questions.write(POOL, {})
        assert 0 <= questions.asked <= POOL.size
        assert {*questions.answers} <= {1, 2, 3}


def check_verified(folder: Path, content: bytes) -> None:
    (folder / "runs" / "sound" / "verified.json").write_bytes(content)
    assert ends_well(folder, "report", "runs", "--out=a.html") == 0
    assert ends_well(folder, "doctor", str(folder / "runs" / "sound")) in (0, 2)


def check_states(folder: Path, content: bytes) -> None:
    """What a sweep that was killed has left of its jobs."""
    for name in ("0.json", "unended.json"):
        file = folder / "sweep" / STATES / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        with nothing_written_outside(folder):
            assert all(isinstance(job, str) for job in read_unended(folder / "sweep"))
            with suppress(InputError):
                read_state(file)
        file.unlink()


CHECKPOINT = (FINISHED / "checkpoints" / "last.ckpt").read_bytes()
TABLE = b"a,b,label\n" + b"1,2.5,x\n" * 9

FUZZED: dict[str, tuple[Callable[[Path, Any], None], st.SearchStrategy[Any]]] = {
    "reports": (check_reports, damaged_json(RECORD)),
    "restored": (check_restored, damaged_json(RECORD)),
    "kept": (check_kept, damaged_json(KEPT)),
    "checkpoints": (
        lambda folder, content: check_read(
            folder, content, "a.ckpt", lambda file: read_network_state(str(file))
        ),
        torn(CHECKPOINT),
    ),
    "arrays": (
        lambda folder, content: check_read(
            folder, content, "a.npz", lambda file: read_arrays([file])
        ),
        torn(packed_arrays()),
    ),
    "tables": (
        lambda folder, content: check_read(folder, content, "a.csv", read_table),
        torn(TABLE),
    ),
    "lines": (
        lambda folder, content: check_read(folder, content, "a.jsonl", read_table),
        torn(b'{"a": 1, "label": "x"}\n' * 9),
    ),
    "audits": (partial(check_audits, name="audit.json"), damaged_json(AUDIT)),
    "answers": (partial(check_audits, name="questions.csv"), torn(ASKED)),
    "verdicts": (check_verified, damaged_json(VERIFIED)),
    "states": (
        check_states,
        st.one_of(damaged_json(STATE), damaged_json(["sweep/0", "sweep/1"])),
    ),
    "journals": (
        check_journals,
        st.one_of(changed(JOURNAL).map(journal_lines), torn(journal_lines(JOURNAL))),
    ),
}


def damage_and_check(folder: Path, kind: str, data: st.DataObject) -> None:
    check, damage = FUZZED[kind]
    check(folder, data.draw(damage))


few_cases = few(given(data=st.data())(damage_and_check))
many_cases = many(given(data=st.data())(damage_and_check))


@pytest.mark.parametrize("kind", FUZZED)
def test_a_damaged_file_harms_itself_alone(folder: Path, kind: str) -> None:
    few_cases(folder, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FUZZED)
def test_however_it_is_damaged(folder: Path, kind: str) -> None:
    many_cases(folder, kind)
