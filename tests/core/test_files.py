"""What is written is on the disk: whole or not at all, whenever the power fails."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from da_framework.core.errors import InputError, exit_message
from da_framework.core.files import atomic_write, publish, set_aside, sync, write_text
from tests.disk_model import Disk, watch

PACKAGE = Path(__file__).parents[2] / "da_framework"
WRITERS = re.compile(
    r"os\.(?:replace|rename)|shutil\.(?:move|copy)|\.(?:rename\((?!columns)|write_bytes\()"
    r"|\.write_text\(|np\.save\w*\b|\.save\(|(?<!P)open\([^)]*[\"'][wax]"
)
"""What puts a file in its place, or writes one."""


def test_whenever_the_power_fails_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    file = tmp_path / "new" / "below" / "file"
    with watch(disk):
        for number in range(3):
            write_text(file, f"{number}" * 9)
            disk.promised["number"] = number
    assert len(disk.crashes) > 9
    for promised, state in disk.crashes:
        least = promised.get("number", -1)
        left = state.get("new/below/file")
        allowed = [f"{n}".encode() * 9 for n in (least, least + 1) if n >= 0]
        assert left in ([None, *allowed] if least < 0 else allowed)


def test_of_two_that_follow_each_other_one_is_always_there(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    last, previous = tmp_path / "last", tmp_path / "previous"
    with watch(disk):
        for number in range(4):
            with atomic_write(last, former=previous) as partial:
                partial.write_text(f"{number}" * 9)
            disk.promised["number"] = number
    assert (last.read_text(), previous.read_text()) == ("3" * 9, "2" * 9)
    for promised, state in disk.crashes:
        whole = [int(state[name][:1]) for name in ("last", "previous") if state.get(name)]
        assert b"" not in (state.get("last"), state.get("previous"))
        assert max(whole, default=-1) >= promised.get("number", -1)


def unsynced(file: Path) -> None:
    file.with_name("partial").write_text("content")
    os.replace(file.with_name("partial"), file)


def unsynced_name(file: Path) -> None:
    file.with_name("partial").write_text("content")
    sync(file.with_name("partial"))
    os.replace(file.with_name("partial"), file)


def unsynced_folder(file: Path) -> None:
    file.with_name("partial").write_text("content")
    sync(file.with_name("partial"))
    os.replace(file.with_name("partial"), file)
    sync(file.parent)


def written_over(file: Path) -> None:
    file.write_text("content")
    sync(file)
    file.write_text("other")


@pytest.mark.parametrize(
    ("write", "left"),
    [
        (unsynced, {None, b""}),
        (unsynced_name, {None, b"content"}),
        (unsynced_folder, {None, b"content"}),
        (written_over, {None, b""}),
        (lambda file: write_text(file, "content"), {b"content"}),
    ],
)
def test_the_model_loses_what_was_not_waited_for(
    tmp_path: Path, write: Callable[[Path], None], left: set[bytes | None]
) -> None:
    disk = Disk(tmp_path)
    with watch(disk):
        (tmp_path / "new").mkdir()
        write(tmp_path / "new" / "file")
        disk.promised["written"] = True
    after = [state for promised, state in disk.crashes if promised]
    assert {state.get("new/file") for state in after} == left


def failing(number: int) -> Callable[[int], None]:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_disk_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_text(file, "before")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error") as error:
        write_text(file, "after")
    assert exit_message(error.value) == (f"{tmp_path}/.file.partial: Input/output error", 2)
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(InputError, match="what it held before is intact: make room"):
        write_text(file, "after")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "before"


def test_a_file_system_that_cannot_wait_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    write_text(tmp_path / "file", "content")
    assert (tmp_path / "file").read_text() == "content"


def test_a_folder_that_cannot_be_listed_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.open

    def opened(path: Path, flags: int, *more: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path, flags, *more)

    monkeypatch.setattr(os, "open", opened)
    write_text(tmp_path / "file", "content")
    assert (tmp_path / "file").read_text() == "content"


@pytest.mark.parametrize("name", [".", "", "..", "/", "folder"])
def test_a_folder_in_the_place_of_a_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as refused:
        write_text(Path(name), "x")
    assert exit_message(refused.value) == (f"{Path(name)}: Is a directory", 2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_a_damaged_file_is_kept_under_another_name(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with watch(disk):
        write_text(tmp_path / "file", "content")
        assert set_aside(tmp_path / "file") == tmp_path / "file.damaged"
        disk.promised["aside"] = True
    after = [state for promised, state in disk.crashes if promised]
    assert after == [{"file.damaged": b"content"}]


def test_what_was_downloaded_has_its_name_only_once_it_is_there(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with watch(disk):
        (tmp_path / ".file.part").write_bytes(b"content")
        publish(tmp_path / ".file.part", tmp_path / "file")
    assert {state.get("file") for _, state in disk.crashes} == {None, b"content"}


WRITING = {
    *("callbacks/checkpoints.py", "callbacks/tsne.py", "cli/export.py", "cli/predict.py"),
    *("core/array_cache.py", "core/files.py", "datasets/digits_files.py", "training/resume.py"),
    "cli/stream.py",
    "training/streaming.py",
    "cli/streams.py",  # the terminal
    "core/damage.py",  # advises to: it writes nothing
    "cli/reproduce.py",  # a log
    "cli/search_journal.py",  # the journal, by atomic_write
    "cli/sweeps.py",  # a log
    "datasets/downloads.py",  # synced when all has come
    "datasets/image_cache.py",  # synced block by block
    "results/folder.py",  # moves what is there
    *("audit/page.py", "results/page.py", "results/figure_process.py"),  # into memory
    "datasets/corruptions.py",  # likewise
    "training/save.py",  # below a name that is published when all is there
    "results/contact_sheet.py",
    "training/memory.py",  # a counter of the system
    "training/loggers/mlflow.py",  # a folder that is gone once it is sent
    "training/method_check.py",  # a folder that is gone with the check
}
"""Modules that write files: each was looked at, and writes what a promise rests on under the name
that ``atomic_write`` or ``synced_write`` gives, or hands it to ``publish``."""


def test_files_are_written_in_these_modules_alone() -> None:
    sources = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    assert {name for name, path in sources.items() if WRITERS.search(path.read_text())} == WRITING
