"""Time series as AdaTime publishes them: a file for each part of each subject."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Any, Unpack

import numpy as np

from da_framework.core.errors import InputError, one_line
from da_framework.core.types import Count, External, Inside, Irrelevant
from da_framework.datasets.base import PARTS, Array, Dataset, Domain, Roles
from da_framework.datasets.origin import Origin


class AdaTime(Dataset):
    """Windows of sensor signals, a domain a subject, in ``<data_dir>/<folder>``.

    Ragab et al., "AdaTime: A Benchmarking Suite for Domain Adaptation on Time Series Data",
    ACM TKDD 2023. https://arxiv.org/abs/2203.08321
    Departure: both parts are brought to the mean and deviation of the training part, where
    AdaTime's code brings each to its own.

    Args:
        folder: the data set's own; it holds ``train_<subject>.pt`` and ``test_<subject>.pt``.
        subjects: the domains.
        classes: their names, in the official order.
        shape: channels and length of a window.
        normalize: brings every channel of a domain to mean 0 and deviation 1.
        origin: where all of it comes from.
        data_dir: the folder that holds the data set's.
    """

    def __init__(
        self,
        *,
        folder: Inside,
        subjects: list[Inside],
        classes: list[str],
        shape: list[Count],
        normalize: bool,
        origin: Annotated[Origin, Irrelevant()],
        data_dir: Annotated[str, Irrelevant(), External()],
        **roles: Unpack[Roles],
    ) -> None:
        self.place = Path(data_dir).expanduser().absolute() / folder
        self.names = tuple(subjects)
        self.classes = tuple(classes)
        self.shape = tuple(shape)
        self.normalize = normalize
        self.origin = origin
        super().__init__(**roles)

    def files(self, name: str) -> Sequence[Path]:
        return [self.place / f"{part}_{name}.pt" for part in PARTS]

    def fingerprint(self, name: str) -> str:
        self._check_files(name)
        return super().fingerprint(name)

    def licence(self, name: str) -> str:
        return self.origin.licence

    def load(self, name: str) -> Domain:
        self._check_files(name)
        (x, y), (x_test, y_test) = (self._read_file(file) for file in self.files(name))
        if self.normalize:
            mean, deviation = x.mean((0, 2), keepdims=True), x.std((0, 2), keepdims=True)
            x, x_test = ((windows - mean) / np.maximum(deviation, 1e-12) for windows in (x, x_test))
        return Domain(
            np.concatenate([x, x_test]).astype(np.float32),
            np.concatenate([y, y_test]),
            np.repeat([False, True], [len(y), len(y_test)]),
        )

    def _check_files(self, name: str) -> None:
        domains = dict.fromkeys((*self.domains, name))
        files = [file for domain in domains for file in self.files(domain)]
        if lacking := [str(file) for file in files if not file.is_file()]:
            about = (
                f"{len(self.names)} subjects, {len(self.classes)} classes, windows of "
                f"{self.shape[0]} channels and {self.shape[1]} steps"
            )
            raise self.origin.missing(self.place, lacking, about=about)

    def _read_file(self, file: Path) -> tuple[Array, Array]:
        """Windows and labels of a file."""
        import torch

        try:
            with torch.serialization.safe_globals(array_globals()):
                held: Mapping[str, Any] = torch.load(file, weights_only=True)
            x = np.asarray(held["samples"], dtype=np.float64)
            y = np.asarray(held["labels"]).astype(np.int64).reshape(-1)
        except (RuntimeError, UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
            reason = one_line(error, most=200)
            raise InputError(
                f"{file} cannot be read as samples and labels ({reason}): {self.origin.address}"
            ) from None
        if x.ndim == 3 and x.shape[1:] != self.shape and x.shape[:0:-1] == self.shape:
            x = x.transpose(0, 2, 1)  # channels last
        if x.shape[1:] != self.shape or len(x) != len(y):
            raise InputError(
                f"{file} holds windows of the shape {x.shape[1:]} and {len(y)} labels for {len(x)} "
                f"of them; needed are windows of {self.shape} and a label each"
            )
        return x, y


def array_globals() -> list[Any]:
    """What a pickle of a numpy array names; safe to load, as an array only holds numbers."""
    from numpy._core.multiarray import _reconstruct

    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32)]
    old_name = "numpy.core.multiarray._reconstruct"  # before numpy 2
    return [_reconstruct, (_reconstruct, old_name), np.ndarray, np.dtype, *kinds]
