"""A user's own data: domains discovered on disk, classes matched by their names."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Unpack

import numpy as np

from da_framework.core.errors import InputError, listed
from da_framework.core.types import External
from da_framework.datasets.base import Array, Dataset, Roles
from da_framework.datasets.splits import IntArray


class Discovered(Dataset):
    """Domains discovered below a path.

    Classes are known by name, not by number: those of the sources are learnt, whatever order they
    come in; what only the target has is the unknown.

    Args:
        root: the path.
    """

    def __init__(self, *, root: Annotated[str, External()], **roles: Unpack[Roles]) -> None:
        self._read: dict[str, Any] = {}
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
        source, target = self._all_classes(used), self._all_classes(aim)
        learnt = source or target
        self.classes = (*learnt, *(name for name in target if name not in learnt))
        super().__init__(**roles)
        self.source_classes = self.source_classes or list(learnt)
        self.target_classes = self.target_classes or list(target)

    def read_once(self, name: str, read: Callable[[], Any]) -> Any:
        """What is read for a domain, kept as long as the data set is."""
        if name not in self._read:
            self._read[name] = read()
        return self._read[name]

    layout: str
    """How domains are laid out, for a message."""

    @abstractmethod
    def discover(self) -> Iterable[str]:
        """Names of the domains there are."""

    @abstractmethod
    def class_names(self, name: str) -> Sequence[str]:
        """Names of the classes that a domain has."""

    def encode_labels(self, given: Array) -> IntArray:
        """Class names as labels."""
        label_of = {name: label for label, name in enumerate(self.classes)}
        return np.array([label_of[str(name)] for name in given], dtype=np.int64)

    def _all_classes(self, domains: Iterable[str]) -> tuple[str, ...]:
        classes = {name for domain in domains for name in self.class_names(domain)}
        if all(name.lstrip("-").isdigit() for name in classes):
            return tuple(sorted(classes, key=int))
        return tuple(sorted(classes))
