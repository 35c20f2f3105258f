"""What watches runs elsewhere, with more of them than figures: a service, or its files."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from da_framework.callbacks.base import Table


class Tracker(ABC):
    """What a logger takes besides the config and figures, if it can.

    None of it may end a run or hold it up for long: what fails is said in one line.
    """

    @abstractmethod
    def log_tag(self, name: str, value: str) -> None:
        """Marks the run."""

    @abstractmethod
    def log_figures(self, files: Mapping[str, Path], step: int) -> None:
        """Takes image files by name."""

    @abstractmethod
    def log_rows(self, name: str, table: Table, step: int) -> None:
        """Takes a table; cells that are arrays of bytes are pictures."""

    @abstractmethod
    def log_checkpoints(self, files: Mapping[Path, Sequence[str]]) -> None:
        """Takes checkpoints, each with what it is called: ``last``, ``chosen``."""

    @abstractmethod
    def ensure(self) -> bool:
        """Makes sure that it can still be reached, or does without; whether it stays as it was."""

    @abstractmethod
    def finish(self, *, done: bool) -> None:
        """Ends the run there.

        Args:
            done: whether training came to its end.
        """
