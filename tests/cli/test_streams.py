"""Streams that are closed, readers that have gone, a working folder that is no longer there."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from da_framework.cli import streams

DA = f"{shlex.quote(sys.executable)} -m da_framework"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)


def test_a_closed_output_is_one_line(tmp_path: Path) -> None:
    ended = shell(f"{DA} list >&-")
    assert ended.returncode == 2
    assert ended.stderr == ("the standard output is closed: >/dev/null discards what is printed\n")


def test_a_closed_standard_error_costs_nothing(tmp_path: Path) -> None:
    ended = shell(f"{DA} list method 2>&- <&-")
    assert ended.returncode == 0
    assert "dann" in ended.stdout
    refused = shell(f"{DA} lisst 2>&-")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_a_deleted_working_folder_is_one_line(tmp_path: Path) -> None:
    ended = shell(f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; {DA} list")
    assert ended.returncode == 2
    assert ended.stderr == ("the working folder has been deleted: change into one that is there\n")


def test_a_reader_that_has_gone_is_no_failure_for_what_is_written_later() -> None:
    reader, writer = os.pipe()
    plain = os.fdopen(writer, "w", buffering=1)
    stream = streams.patient(plain)
    assert streams.is_pipe(stream)
    print("read", file=stream)
    assert os.read(reader, 9) == b"read\n"
    os.close(reader)
    for line in ("not read", "nor this"):
        print(line, file=stream, flush=True)
    assert not streams.is_pipe(stream)  # it goes nowhere
    plain.close()


def test_streams_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ours: Any = io.StringIO()  # as a notebook has, or a test
    monkeypatch.setattr(sys, "stdout", ours)
    streams.prepare_streams()
    assert sys.stdout is ours
