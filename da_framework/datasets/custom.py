"""A user's own data: domains discovered on disk, classes matched by their names."""

import logging
import re
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Unpack

import numpy as np

from da_framework.core.errors import InputError, listed
from da_framework.core.labels import UNLABELLED
from da_framework.core.quoting import override
from da_framework.core.types import External
from da_framework.datasets.base import Dataset, Roles
from da_framework.datasets.columns import Scale
from da_framework.datasets.splits import IntArray

log = logging.getLogger(__name__)

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
"""A number as text."""
NOT_LABELLED = -1
"""The number that stands for no label, where the sources have no such class."""
FORMER = ""
"""In the place of a file, where a former run spells classes."""
MANY = 50
"""Classes above which as many as half the samples are no classes."""
HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN", "lost+found")
"""Names of what systems and tools leave in folders, beside those that begin with a dot."""
READERS = {
    "table": (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx"),
    "arrays": (".npz", ".npy"),
    "folder": (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"),
}
"""The data set that reads files of an ending."""


class Labels(NamedTuple):
    """Labels of some samples of a domain as a file spells them.

    Attributes:
        source: where they stand together: a file.
        names: one a sample; ``None`` where there is none.
    """

    source: str
    names: Sequence[str | None]


class Discovered(Dataset):
    """Domains discovered below a path.

    Classes are known by name, not by number: those of the sources are learnt, whatever order they
    come in; what only the target has is the unknown. Samples of a target may be without a label.

    Args:
        root: the path.
    """

    may_lack_labels = True
    kind: str
    """The name of the data set in ``conf/dataset``, for a message."""
    layout: str
    """How domains are laid out, for a message."""
    scale: Scale = "none"
    """What numbers are brought to mean 0 and deviation 1 by."""
    fewest = 2
    """Domains that there must be."""

    def __init__(self, *, root: Annotated[str, External()], **roles: Unpack[Roles]) -> None:
        self._read: dict[str, Any] = {}
        self.root = Path(root).expanduser().absolute()
        self._check_root(root)
        self.names = tuple(sorted(self.discover()))
        if len(self.names) < self.fewest:
            raise InputError(
                f"{self.root} holds the domains {listed(self.names)}, but two are needed: "
                f"{self.layout}{self.layout_hint()}"
            )
        if (pair := roles.get("pair")) is not None:
            roles = {**roles, "source": [pair[0]], "target": [pair[1]]}
        sources = roles["source"]
        if sources is None:
            raise InputError(
                f"dataset.source: must be given; the domains are {listed(self.names)}: "
                f"{override('dataset.source', self.names[:1])}"
            )
        used = [name for name in sources if name in self.names]
        others = [name for name in self.names if name not in used]
        aim = [name for name in roles["target"] or () if name in self.names] or others
        self._class_names: dict[str, list[str | None]] = {}
        self._name_classes(used, aim)
        source, target = self._all_classes(used), self._all_classes(aim)
        self.classes = tuple(dict.fromkeys((*source, *target)))
        super().__init__(**roles)
        self._check_labels(used)
        self._given_classes = self.source_classes, self.target_classes
        self._choose_classes(source, target)

    def read_once(self, name: str, read: Callable[[], Any]) -> Any:
        """What is read for a domain, kept as long as the data set is."""
        if name not in self._read:
            self._read[name] = read()
        return self._read[name]

    def continue_from(self, former: Mapping[str, Any]) -> None:
        if not self.source and former != self.former:
            learnt = tuple(former.get("classes", ()))
            self._name_classes((), self.target, learnt)
            self._choose_classes(learnt, self._all_classes(self.target))
            self._read.clear()
        super().continue_from(former)
        if not (self.source or former) and self.scale == "source":
            log.warning(
                "there is no source and no record of a run with one: targets are scaled by their "
                "own rows, as dataset.scale=domain says"
            )

    @abstractmethod
    def discover(self) -> Iterable[str]:
        """Names of the domains there are."""

    @abstractmethod
    def labels(self, name: str) -> Sequence[Labels]:
        """The labels of a domain, in the order of its samples."""

    def layout_hint(self) -> str:
        """What may be meant, where there are no domains: nothing, or a sentence."""
        ending = Counter(path.suffix.lower() for path in self.root.rglob("*") if path.is_file())
        kind = "table" if self.kind == "text" else self.kind
        readers = [
            reader
            for reader, endings in READERS.items()
            if reader != kind and any(ending[own] for own in endings)
        ]
        here = readers and not any(ending[own] for own in READERS[kind])
        return f"; dataset={readers[0]} reads what is there" if here else ""

    def label_hint(self) -> str:
        """What may be meant, where a source lacks labels: nothing, or a sentence."""
        return ""

    def encode_labels(self, name: str) -> IntArray:
        """The labels of a domain's samples, as positions among the classes."""
        label_of = {None: UNLABELLED} | {c: label for label, c in enumerate(self.classes)}
        return np.array([label_of[c] for c in self._class_names[name]], dtype=np.int64)

    def _check_root(self, root: str) -> None:
        if not self.root.exists():
            raise InputError(f"dataset.root={root}: {self.root} is not there")
        if not self.root.is_file() or self.kind in ("table", "text"):
            return
        ending = self.root.suffix.lower()
        reader = next((kind for kind, endings in READERS.items() if ending in endings), None)
        if reader == self.kind:
            way = f"its folder is meant: {override('dataset.root', str(self.root.parent))}"
        else:
            way = f"dataset={reader} reads such files" if reader else f"needed is {self.layout}"
        raise InputError(
            f"dataset.root={root} is a file, but dataset={self.kind} reads a folder; {way}"
        )

    def _choose_classes(self, source: Sequence[str], target: Sequence[str]) -> None:
        """Learns the classes of the source, or of the target where there is none."""
        learnt = source or target
        self.classes = tuple(dict.fromkeys((*learnt, *target)))
        given_source, given_target = self._given_classes
        self.source_classes = given_source or list(learnt)
        self.target_classes = given_target or list(target) or None

    def _name_classes(
        self, sources: Sequence[str], targets: Sequence[str], former: Sequence[str] = ()
    ) -> None:
        """Finds the classes of every sample of these domains, however files spell them.

        Args:
            sources: their labels are learnt.
            targets: their labels may be missing.
            former: classes that a former run has learnt, in the place of sources.
        """
        labels = {name: self.labels(name) for name in dict.fromkeys((*sources, *targets))}
        spelled: dict[str, set[str]] = defaultdict(set, {FORMER: set(former)})
        for part in (part for parts in labels.values() for part in parts):
            spelled[part.source] |= {own for own in part.names if own is not None}
        match = match_spellings(spelled)
        former_name = {match[FORMER][own]: own for own in former}
        for name, parts in labels.items():
            self._class_names[name] = [
                None
                if own is None
                else former_name.get(match[part.source][own], match[part.source][own])
                for part in parts
                for own in part.names
            ]
        learnt = {*former, *(own for name in sources for own in self._class_names[name])}
        if any(map(is_minus_one, learnt)):
            return
        for name in targets:
            self._class_names[name] = [
                None if is_minus_one(own) else own for own in self._class_names[name]
            ]

    def _check_labels(self, sources: Sequence[str]) -> None:
        """Raises where a source lacks labels, or they are no classes."""
        for name in sources:
            given = self._class_names[name]
            if None in given:
                first = self.place_name(name, given.index(None))
                raise InputError(
                    f"the source {name} has {given.count(None)} samples without a label, the "
                    f"first is {first}: a source has all; leave "
                    f"them out, or use the domain as target{self.label_hint()}"
                )
            different = set(given)
            values = {number_value(own or "") for own in different}
            if NOT_LABELLED in values and values - {NOT_LABELLED, 1}:
                self._point_out_minus_one(name)
            if len(different) > max(MANY, len(given) / 2):
                numbers = None not in values
                raise InputError(
                    f"the labels of {name} have {len(different)} different values in "
                    f"{len(given)} samples: "
                    + (
                        "are they a number to predict? Classes alone are learnt: cut it into "
                        "ranges first"
                        if numbers
                        else "do they say which class a sample is of?"
                    )
                )

    def _point_out_minus_one(self, name: str) -> None:
        """Logs that -1 is learnt as a class, which stands for no label in much other software."""
        rows = [row for row, own in enumerate(self._class_names[name]) if is_minus_one(own)]
        log.warning(
            "the source %s has the label -1 %d times, first in %s: it is learnt as a class, and "
            "in targets too it is one; if it means that nothing is known, leave these samples out",
            name,
            len(rows),
            self.place_name(name, rows[0]),
        )

    def _all_classes(self, domains: Iterable[str]) -> tuple[str, ...]:
        classes = {own for name in domains for own in self._class_names[name] if own is not None}
        if all(own.lstrip("-").isdigit() for own in classes):
            return tuple(sorted(classes, key=int))
        return tuple(sorted(classes))


def number_value(spelling: str) -> float | None:
    """The number that a label is, where it is one; truth is 1."""
    if spelling in ("True", "true", "TRUE"):
        return 1.0
    if spelling in ("False", "false", "FALSE"):
        return 0.0
    return float(spelling) if NUMBER.fullmatch(spelling) else None


def match_spellings(spelled: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
    """The class that every spelling in every file stands for.

    The same number in several files is one class, whatever its type (0, 0.0, False), by the name of
    its shortest spelling. Where a file itself spells a number in several ways, as 1 and 01, these
    are different classes, in all files.

    Args:
        spelled: the spellings of each file.
    """
    by_value: dict[float, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for file, spellings in spelled.items():
        for spelling in spellings:
            if (value := number_value(spelling)) is not None:
                by_value[value][file].add(spelling)
    name: dict[str, str] = {}
    for files in by_value.values():
        every = {spelling for spellings in files.values() for spelling in spellings}
        if all(len(spellings) == 1 for spellings in files.values()):
            shortest = min(every, key=lambda spelling: (len(spelling), spelling))
            name |= dict.fromkeys(every, shortest)
    return {
        file: {spelling: name.get(spelling, spelling) for spelling in spellings}
        for file, spellings in spelled.items()
    }


def is_minus_one(name: str | None) -> bool:
    """Whether a class is called by the number that stands for no label."""
    return name is not None and number_value(name) == NOT_LABELLED


def label_names(labels: Iterable[Any]) -> list[str | None]:
    """Labels as texts: of numbers as they are printed; none where they are missing or blank."""
    names = (
        label.decode(errors="replace") if isinstance(label, bytes) else str(label)
        for label in ("" if label is None or label != label else label for label in labels)
    )
    return [name if name.strip() else None for name in names]


def is_hidden(path: Path, below: Path) -> bool:
    """Whether a path below a folder is something that systems and tools leave there."""
    return any(part[0] == "." or part in HIDDEN for part in path.relative_to(below).parts)
