"""Domains that are in memory."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from da_framework.datasets.arrays import Arrays, Contents
from da_framework.datasets.base import Roles
from da_framework.datasets.columns import Scale
from da_framework.datasets.given_samples import GivenSamples


class Memory(Arrays):
    """Domains that are in memory; everything else is as of arrays in files.

    Args:
        held: the samples of each domain.
        keys: of ``Arrays``; its ``root`` is not read.
    """

    layout = "source=(x, y), target=x"
    fewest = 1  # some methods need no source

    def __init__(
        self,
        held: Mapping[str, GivenSamples],
        *,
        root: str = "memory",
        shape: list[int] | None = None,
        scale: Scale = "none",
        window: int | None = None,
        stride: int | None = None,
        **roles: Unpack[Roles],
    ) -> None:
        self._held = dict(held)
        super().__init__(root=root, shape=shape, scale=scale, window=window, stride=stride, **roles)

    def discover(self) -> Iterable[str]:
        return self._held

    def files(self, name: str) -> Sequence[Any]:
        return ()

    def origin(self, name: str) -> str:
        return name

    def fingerprint(self, name: str) -> str:
        held = self._held[name]
        digest = hashlib.sha256(np.ascontiguousarray(held.x).data)
        digest.update(repr(None if held.y is None else held.y.tolist()).encode())
        return digest.hexdigest()[:16]

    def inputs(self, name: str) -> dict[str, Any]:
        inputs = {**super().inputs(name), "labels": self.label_values()}
        columns = self._held[name].columns
        return {**inputs, "columns": list(columns)} if columns else inputs

    def label_values(self) -> list[Any]:
        """The classes that are learnt, as the labels that were given."""
        learnt = self.former.get("classes", ())  # by a run that is gone on from, without its source
        values: dict[str | None, Any] = dict(
            zip(learnt, self.former.get("labels", learnt), strict=True)
        )
        for name in self.domains[::-1]:  # as the source writes them, where there is one
            if (y := self._held[name].y) is not None:
                series = self._windows(name).series
                values |= dict(zip(self._class_names[name], y[series].tolist(), strict=True))
        return [values[name] for name in self.known]

    def _check_root(self, root: str) -> None:
        """There is nothing to find."""

    def _contents(self, name: str) -> Contents:
        held = self._held[name]
        return Contents(held.x, held.y, None)
