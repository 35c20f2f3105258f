"""Digits: MNIST, USPS, MNIST-M, SVHN and SynDigits, whole, or the small pair of shallow methods."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Unpack

import numpy as np
from PIL import Image

from da_framework.core.errors import InputError, listed
from da_framework.core.types import Count, External, Irrelevant, Positive
from da_framework.datasets.base import PARTS, SAMPLES_AT_ONCE, Array, Dataset, Domain, Roles
from da_framework.datasets.digits_files import (
    COLOURED,
    LICENCES,
    PAIR,
    STORED,
    data_set_of,
    explain_missing,
    fetch_digits,
    is_downloadable,
    load_mnistm,
    missing_files,
    mnistm_sources,
    read_arrays,
    read_matlab,
    read_published,
)

SUBSETS: Mapping[str, tuple[str, ...]] = {
    "pair": ("mnist", "usps"),
    "full": ("mnist", "usps", "mnistm"),
    "five": ("mnist", "usps", "mnistm", *COLOURED),
}


class Digits(Dataset):
    """Ten digits, as written, printed and photographed for five data sets.

    The pair is the 2000 images of MNIST and 1800 of USPS that shallow methods are compared on:
    float32 in [-1, 1], without an official test part. The whole sets are uint8 with their official
    test parts; grey ones have three channels as soon as one in colour is in use.

    - LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998.
    - Hull, "A database for handwritten text recognition research", IEEE TPAMI 1994.
    - Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016.
    - SynDigits: the same. SVHN: Netzer et al., "Reading Digits in Natural Images with Unsupervised
      Feature Learning", NIPS workshop 2011. Its cropped digits; the extra part is left out.
    - The pair: Long et al., "Transfer Feature Learning with Joint Distribution Adaptation",
      ICCV 2013.

    Args:
        subset: ``pair`` (part of the package), or, read from ``data_dir``: ``full`` (MNIST, USPS
            and MNIST-M) or ``five`` (SVHN and SynDigits as well).
        normalize: ``none``; ``l2``: flat vectors of length 1, black being 0, for shallow methods;
            or each channel at mean 0 and deviation 1 of the ``source``'s training samples, or of
            those of each ``domain``.
        size: height and width that images are resized to, bilinearly; ``None`` is 16 for the pair
            and 28 for the whole sets.
        margin: by domain, rows and columns of black on each side of the resized image, within
            ``size``; below 0, so many are cut off before it is resized; ``None``: nowhere any.
            ``{usps: 4}`` frames USPS as MNIST is framed, ``{mnistm: -2}`` leaves MNIST-M's digits
            as large as MNIST's.
        data_dir: the folder that holds ``digits/``.
        download: fetches MNIST, USPS and SVHN where they are missing.
        mirrors: addresses of folders that are asked before the official ones.
        timeout: seconds that a server may be silent.
    """

    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    names: tuple[str, ...] = SUBSETS["five"]

    def __init__(
        self,
        *,
        subset: Literal["pair", "full", "five"],
        normalize: Literal["none", "l2", "source", "domain"],
        size: Count | None,
        margin: dict[str, int] | None,
        data_dir: Annotated[str, Irrelevant(), External()],
        download: Annotated[bool, Irrelevant(), External(off=False)],
        mirrors: Annotated[list[str], Irrelevant(), External(off=[])],
        timeout: Annotated[Positive, Irrelevant()],
        **roles: Unpack[Roles],
    ) -> None:
        every, self.names = self.names, SUBSETS[subset]
        asked = {*(roles["source"] or ()), *(roles["target"] or ())}
        if others := [name for name in every if name in asked and name not in self.names]:
            has = "digits_five" if {*others} & {*COLOURED} else "digits_full"
            raise InputError(
                f"dataset.subset={subset} has the domains {listed(self.names)}, not "
                f"{listed(others)}; dataset={has} has it"
            )
        super().__init__(**roles)
        self.subset = subset
        self.normalize = normalize
        self._scales: dict[tuple[str, ...], tuple[Array, Array]] = {}
        self.size = size or (16 if subset == "pair" else 28)
        most = min(7, (self.size - 1) // 2)
        if wrong := {
            name: width
            for name, width in (margin or {}).items()
            if name not in self.names or abs(width) > most
        }:
            raise InputError(
                f"dataset.margin={wrong}: by domain ({listed(self.names)}) it has a whole number "
                f"from -{most} to {most}"
            )
        self.margin = margin or {}
        self.folder = Path(data_dir).expanduser().absolute() / "digits"
        self.download = download
        self.mirrors = mirrors
        self.timeout = timeout

    def files(self, name: str) -> Sequence[Path]:
        if self.subset == "pair":
            return (PAIR,)
        if name in COLOURED:
            return [self.folder / name / remote["name"] for remote in COLOURED[name]]
        if name != "mnistm":
            return (self.folder / f"{name}.npz",)
        stored = self.folder / STORED
        return (stored,) if stored.is_file() else mnistm_sources(self.folder)

    def fingerprint(self, name: str) -> str:
        self._complete_files(name)
        return super().fingerprint(name)

    def licence(self, name: str) -> str:
        return LICENCES.get(name, super().licence(name))

    def load(self, name: str) -> Domain:
        domain = self.images(name)
        if self.normalize == "none":
            return domain
        if self.normalize != "l2":
            mean, deviation = self._scale(name)
            return domain._replace(x=((as_numbers(domain.x) - mean) / deviation).astype("f4"))
        x = domain.x.reshape(len(domain.x), -1).astype(np.float64)
        x -= -1 if self.subset == "pair" else 0
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        return domain._replace(x=x.astype(np.float32))

    def inputs(self, name: str) -> dict[str, Any]:
        inputs = super().inputs(name)
        if self.normalize not in ("source", "domain"):
            return inputs
        mean, deviation = self._scale(name)
        return inputs | {"mean": mean.tolist(), "std": deviation.tolist()}

    def _scale(self, name: str) -> tuple[Array, Array]:
        """Mean and deviation of each channel, of pixels in [-1, 1], that a domain is scaled by."""
        if self.normalize == "source" and not self.source and "mean" in self.former:
            return np.array(self.former["mean"]), np.array(self.former["std"])
        fitted = self.source if self.normalize == "source" and self.source else (name,)
        if fitted not in self._scales:
            domains = [self.images(domain) for domain in fitted]
            trained = [d.x if d.test is None else d.x[~d.test] for d in domains]
            self._scales[fitted] = channel_scale(trained)
        return self._scales[fitted]

    def images(self, name: str) -> Domain:
        """A domain as images, before they are normalized."""
        if self.subset == "pair":
            arrays = read_arrays(PAIR, (f"x_{name}", f"y_{name}"))
            images = arrays[f"x_{name}"].reshape(-1, 16, 16) * 2 - 1
            return Domain(self._frame(images, name, channels=1), arrays[f"y_{name}"])
        self._complete_files(name)
        if name in COLOURED:
            read: Mapping[str, Array] = read_matlab(self.files(name))
        else:
            read = (
                load_mnistm(self.folder) if name == "mnistm" else read_published(self.folder, name)
            )
        channels = 3 if {"mnistm", *COLOURED} & {*self.domains, name} else 1
        parts = [self._frame(read[f"x_{part}"], name, channels) for part in PARTS]
        test = np.repeat([False, True], [len(part) for part in parts])
        return Domain(
            np.concatenate(parts), np.concatenate([read["y_train"], read["y_test"]]), test
        )

    def _frame(self, images: Array, name: str, channels: int) -> Array:
        """Images (n, height, width) or (n, height, width, 3) as (n, channels, size, size)."""
        margin = self.margin.get(name, 0)
        framed, inner = max(margin, 0), self.size - 2 * max(margin, 0)
        cut = slice(-margin, margin) if margin < 0 else slice(None)
        black = 0 if images.dtype == np.uint8 else -1
        out = np.full((len(images), channels, self.size, self.size), black, images.dtype)
        inside = slice(framed, framed + inner)
        for row, image in enumerate(images[:, cut, cut]):
            if image.shape[:2] != (inner, inner):
                shape = Image.fromarray(image).resize((inner, inner), Image.Resampling.BILINEAR)
                image = np.asarray(shape)
            out[row, :, inside, inside] = image if image.ndim == 2 else image.transpose(2, 0, 1)
        return out

    def _complete_files(self, name: str) -> None:
        """Sees to it that the files of all domains in use are there.

        Raises:
            InputError: some are not, and are not to be downloaded or cannot be.
        """
        domains = dict.fromkeys((*self.domains, name))
        lacking = missing_files(file for domain in domains for file in self.files(domain))
        if not lacking:
            return
        if not self.download or not all(is_downloadable(file) for file in lacking):
            raise explain_missing(lacking, self.folder)
        for data_set in dict.fromkeys(data_set_of(file) for file in lacking):
            fetch_digits(data_set, self.folder, mirrors=self.mirrors, timeout=self.timeout)


def as_numbers(x: Array) -> Array:
    """Images as numbers in [-1, 1]."""
    return x.astype(np.float32) / 127.5 - 1 if x.dtype == np.uint8 else x


def channel_scale(images: Sequence[Array]) -> tuple[Array, Array]:
    """Mean and deviation of each channel of images in [-1, 1]; what is constant has deviation 1."""
    blocks = (x[i : i + SAMPLES_AT_ONCE] for x in images for i in range(0, len(x), SAMPLES_AT_ONCE))
    sums: Array = np.zeros((3, images[0].shape[1]))
    for block in blocks:
        x = as_numbers(block).astype(np.float64)
        pixels = np.full(x.shape[1], x[:, 0].size)
        sums += [pixels, x.sum((0, 2, 3)), np.square(x).sum((0, 2, 3))]
    mean = sums[1] / sums[0]
    deviation = np.sqrt(np.maximum(sums[2] / sums[0] - mean**2, 0))
    deviation[deviation < 1e-6] = 1  # constant, but for rounding
    return mean[:, None, None], deviation[:, None, None]
