"""Whether there is room, in memory or on a disk: asked before anything is written."""

import shutil
from pathlib import Path

import psutil

from da_framework.core.errors import InputError

CGROUP, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def require_memory(need: int, what: str, *, mend: str) -> None:
    """Refuses what is larger than the memory that is free.

    Args:
        need: bytes.
        what: takes them.
        mend: the keys that make it smaller.

    Raises:
        InputError: it is; states its size, what is free, and the keys.
    """
    if need > (free := free_memory()):
        raise InputError(
            f"{what}: {in_words(need)} of memory, of which {in_words(free)} are free: {mend}"
        )


def require_disk(need: int, folder: Path, what: str, *, mend: str) -> None:
    """Refuses what is larger than the room on the disk of a folder, which need not be there yet.

    Args:
        need: bytes.
        folder: that they would be written to.
        what: takes them.
        mend: the keys that make it smaller, or send it elsewhere.

    Raises:
        InputError: it is; states its size, what is free, and the keys.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if need > (free := shutil.disk_usage(there).free):
        raise InputError(
            f"{folder}: {in_words(need)} of {what} are to be kept here, and {in_words(free)} are "
            f"free: {mend}"
        )


def in_words(size: int) -> str:
    """Bytes for a message."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**27 else f"{size / 2**20:.1f} MiB"


def free_memory() -> int:
    """Bytes of memory that this process may take still."""
    free: list[int] = [psutil.virtual_memory().available]
    for folder in control_groups():
        limit, used = (_read_number(folder / name) for name in ("memory.max", "memory.current"))
        if limit is not None and used is not None:
            # what the system keeps of files, it gives back
            free.append(max(0, limit - used + _cached_files(folder)))
    return min(free)


def memory_limit() -> int:
    """Bytes of memory that this process may have: the machine's, or those of its control group."""
    limits: list[int] = [psutil.virtual_memory().total]
    numbers = (_read_number(folder / "memory.max") for folder in control_groups())
    return min([*limits, *(number for number in numbers if number is not None)])


def control_groups() -> list[Path]:
    """The folders of this process's control group, and of those that it is in."""
    line = (
        MEMBERSHIP.read_text("utf-8").rpartition("::/")[2].strip() if MEMBERSHIP.is_file() else ""
    )
    place = CGROUP / line
    return [folder for folder in (place, *place.parents) if folder.is_relative_to(CGROUP)]


def _read_number(file: Path) -> int | None:
    """The number in a file; none if it says ``max``, or is not there."""
    try:
        text = file.read_text("utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _cached_files(folder: Path) -> int:
    try:
        lines = (folder / "memory.stat").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
