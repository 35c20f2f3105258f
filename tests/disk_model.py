"""A model of a disk that a power cut leaves with no more than it must: what was waited for.

It watches what a program does below a folder. Content that was not synced is gone, or, of what is
only appended to, the rest of it; names that were not synced (new files and folders, renames,
removals) are there or not, in any order.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

State = Mapping[str, bytes]
"""What is below the folder: files by their paths."""


class File:
    """A file: its content as the disk has it, and as the program sees it."""

    def __init__(self) -> None:
        self.synced = self.seen = b""
        self.stamp = (0, 0)

    def look(self, path: Path) -> None:
        """Reads the file if it has changed."""
        stamp = (path.stat().st_mtime_ns, path.stat().st_size)
        if stamp != self.stamp:
            self.stamp, self.seen = stamp, path.read_bytes()

    @property
    def left(self) -> bytes:
        """What a power cut leaves; a file that is written anew is cut first."""
        return self.synced if self.seen.startswith(self.synced) else b""


class Folder:
    """A folder: its names as the disk has them, and as the program sees them."""

    def __init__(self) -> None:
        self.synced: dict[str, File | Folder] = {}
        self.seen: dict[str, File | Folder] = {}


class Edit(NamedTuple):
    """A name that is given to a file or folder, or taken away."""

    folder: Folder
    name: str
    node: File | Folder | None


Change = tuple[Edit, ...]
"""Edits that are done together."""


class Crash(NamedTuple):
    """What a power cut leaves, and what the program had promised before."""

    promised: dict[str, Any]
    state: State


class Disk:
    """A disk, and what power cuts would leave on it.

    Args:
        root: the folder; empty at first.
        ignored: names that are no part of it.

    Attributes:
        promised: what the program says must survive from here on; by whoever watches it.
        crashes: what is left by a power cut at any moment until now, each once.
    """

    def __init__(self, root: Path, ignored: tuple[str, ...] = (".hydra", ".lock")) -> None:
        self.root = root.resolve()
        self.ignored = ignored
        self.top = Folder()
        self.pending: list[Change] = []
        self.promised: dict[str, Any] = {}
        self.crashes: list[Crash] = []
        self._known: set[int] = set()

    def node(self, path: Path) -> "File | Folder | None":
        """What has a path now."""
        here: File | Folder | None = self.top
        for name in path.relative_to(self.root).parts:
            here = here.seen.get(name) if isinstance(here, Folder) else None
        return here

    def look(self) -> None:
        """Finds what was written, made or removed since the last look."""
        self._look(self.root, self.top)

    def _look(self, path: Path, folder: Folder) -> None:
        names = {entry.name: entry for entry in path.iterdir() if entry.name not in self.ignored}
        for name in folder.seen.keys() - names.keys():
            self.change(Edit(folder, name, None))
        for name, entry in sorted(names.items()):
            if name not in folder.seen:
                self.change(Edit(folder, name, Folder() if entry.is_dir() else File()))
            node = folder.seen[name]
            if isinstance(node, Folder):
                self._look(entry, node)
            else:
                node.look(entry)

    def change(self, *edits: Edit) -> None:
        """Edits names; the disk hears of it later."""
        for folder, name, node in edits:
            if node is None:
                folder.seen.pop(name, None)
            else:
                folder.seen[name] = node
        self.pending.append(edits)

    def move(self, source: Path, to: Path) -> None:
        """A rename, in which a name is never half."""
        above, below = self.node(source.parent), self.node(to.parent)
        if isinstance(above, Folder) and isinstance(below, Folder) and source.name in above.seen:
            node = above.seen[source.name]
            self.change(Edit(below, to.name, node), Edit(above, source.name, None))

    def sync(self, path: Path) -> None:
        """What was written, or named, is on the disk from here on."""
        node = self.node(path)
        if isinstance(node, File):
            node.synced = node.seen
        elif node is not None:
            settled = [c for c in self.pending if any(edit.folder is node for edit in c)]
            self.pending = [change for change in self.pending if change not in settled]
            for change in settled:
                for folder, name, what in change:
                    apply(folder.synced, name, what)

    def sync_all(self) -> None:
        """All is on the disk from here on."""
        for path in [self.root, *self.root.rglob("*")]:
            self.sync(path)

    def crash(self) -> None:
        """Notes what a power cut would leave now."""
        for kept in choices(len(self.pending)):
            names: dict[Folder, dict[str, File | Folder]] = {}
            for number in kept:
                for folder, name, node in self.pending[number]:
                    apply(names.setdefault(folder, dict(folder.synced)), name, node)
            state = dict(self._left(self.top, "", names))
            known = hash((frozenset(state.items()), repr(self.promised)))
            if known not in self._known:
                self._known.add(known)
                self.crashes.append(Crash(dict(self.promised), state))

    def _left(
        self, folder: Folder, prefix: str, names: "Mapping[Folder, dict[str, File | Folder]]"
    ) -> Iterator[tuple[str, bytes]]:
        for name, node in names.get(folder, folder.synced).items():
            if isinstance(node, Folder):
                yield from self._left(node, f"{prefix}{name}/", names)
            else:
                yield f"{prefix}{name}", node.left


def apply(names: "dict[str, File | Folder]", name: str, node: "File | Folder | None") -> None:
    """Gives or takes a name."""
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def choices(count: int) -> set[tuple[int, ...]]:
    """Which of so many changes reach the disk: the first, the others, all but one, or one alone."""
    every = range(count)
    return {
        chosen
        for cut in range(count + 1)
        for chosen in (
            tuple(every[:cut]),
            tuple(every[cut:]),
            tuple(every[cut : cut + 1]),
            tuple(number for number in every if number != cut),
        )
    }


@contextmanager
def watch(disk: Disk) -> Iterator[None]:
    """Has a disk see what this process does below its folder, and cuts the power after each."""

    def inside(path: Any) -> Path | None:
        whole = Path(os.path.abspath(path))
        whole = whole.parent.resolve() / whole.name
        return whole if whole.is_relative_to(disk.root) else None

    def watching(original: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def watched(*arguments: Any, **keys: Any) -> Any:
            disk.look()
            disk.crash()
            result = original(*arguments, **keys)
            note(*arguments)
            disk.look()
            disk.crash()
            return result

        return watched

    def moved(source: Any, to: Any) -> None:
        here, there = inside(source), inside(to)
        if here and there:
            disk.move(here, there)

    def synced(descriptor: int) -> None:
        path = inside(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path:
            disk.sync(path)

    notes: dict[str, Callable[..., None]] = {
        **dict.fromkeys(("replace", "rename"), moved),
        **dict.fromkeys(("unlink", "remove", "mkdir", "rmdir"), lambda *_: None),
        "fsync": synced,
        "sync": disk.sync_all,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, note in notes.items():
            patch.setattr(os, name, watching(getattr(os, name), note))
        yield
    disk.look()
    disk.crash()


def restore(state: State, folder: Path) -> None:
    """Writes what a power cut has left."""
    for name, content in state.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
