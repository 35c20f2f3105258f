"""Data of one's own: domains found on disk, classes matched by their names."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from da_framework.core.errors import InputError, listed
from da_framework.datasets.base import Array, Dataset, Roles
from da_framework.datasets.splits import IntArray


class Discovered(Dataset):
    """Domains that are whatever is found below a path.

    Classes are known by name, not by number: those of the sources are learnt, whatever order they
    come in; what only the target has is the unknown.

    Args:
        root: where to look.
    """

    def __init__(self, *, root: str, **roles: Unpack[Roles]) -> None:
        self.held: dict[str, Any] = {}
        self.root = Path(root).expanduser().absolute()
        if not self.root.exists():
            raise InputError(f"dataset.root={root}: {self.root} is not there")
        self.names = tuple(sorted(self.discover()))
        if len(self.names) < 2:
            raise InputError(
                f"{self.root} holds the domains {listed(self.names)}, but two are needed: "
                f"{self.layout}"
            )
        used = [name for name in roles["source"] if name in self.names]
        others = [name for name in self.names if name not in used]
        aim = [name for name in roles["target"] or () if name in self.names] or others
        own, theirs = self._union(used), self._union(aim)
        learnt = own or theirs
        self.classes = (*learnt, *(name for name in theirs if name not in learnt))
        super().__init__(**roles)
        self.source_classes = self.source_classes or list(learnt)
        self.target_classes = self.target_classes or list(theirs)

    def once(self, name: str, read: Callable[[], Any]) -> Any:
        """What is read for a domain, kept as long as the data set is."""
        if name not in self.held:
            self.held[name] = read()
        return self.held[name]

    layout: str
    """How domains are laid out, for a message."""

    @abstractmethod
    def discover(self) -> Iterable[str]:
        """Names of the domains there are."""

    @abstractmethod
    def class_names(self, name: str) -> Sequence[str]:
        """Names of the classes that a domain has."""

    def labels(self, given: Array) -> IntArray:
        """Class names as labels."""
        number = {name: label for label, name in enumerate(self.classes)}
        return np.array([number[str(name)] for name in given], dtype=np.int64)

    def _union(self, names: Iterable[str]) -> tuple[str, ...]:
        found = {one for name in names for one in self.class_names(name)}
        if all(one.lstrip("-").isdigit() for one in found):
            return tuple(sorted(found, key=int))
        return tuple(sorted(found))
