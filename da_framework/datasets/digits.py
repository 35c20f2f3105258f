"""Digits: MNIST, USPS, MNIST-M, SVHN and SynDigits, whole, or the small pair of shallow methods."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, NamedTuple, Unpack

import numpy as np
from PIL import Image

from da_framework.core.errors import InputError, listed
from da_framework.core.files import wait_for_lock
from da_framework.core.types import Count, Irrelevant, Positive
from da_framework.datasets import downloads, mnistm
from da_framework.datasets.base import Array, Dataset, Domain, Roles
from da_framework.datasets.downloads import Remote
from da_framework.datasets.origin import described


class Origin(NamedTuple):
    """Where a file comes from.

    Attributes:
        size: in bytes.
        sha256: of the file; what is checked on reading are the arrays, by ``ARRAYS``.
        what: its content and the official address.
    """

    size: int
    sha256: str
    what: str


PHOTOS = "bsds500_train_images.zip"
RECIPE = "mnistm_recipe.npz"
STORED = "mnistm.npz"
PAIR = Path(__file__).with_name("mnist_vs_usps.npz")

FILES: Mapping[str, Origin] = {
    "mnist.npz": Origin(
        11507688,
        "094b831e432331f1f6d6829ab9bfff4551410a81e1f816c9cce482d3e9b3ba57",
        "MNIST, http://yann.lecun.com/exdb/mnist/",
    ),
    "usps.npz": Origin(
        1104324,
        "4f0e1d444f3586b184b89819d38941d97b813c683fc08456d8c4e534c048d6c1",
        "USPS, https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps",
    ),
    PHOTOS: Origin(
        14575894,
        "42567a22e5cc917c638f6aee1b916f463ff970c666bf3cb65c706497cc95ed1e",
        "a zip of the 200 JPEG files in BSDS500/data/images/train, "
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
    ),
    RECIPE: Origin(
        378545,
        "79692b09f60117c9bd97de012c9655617467cfc46c08030426f62ee167ef44ba",
        "which window of which photograph is behind each digit of MNIST-M, "
        "http://yaroslav.ganin.net/",
    ),
}
"""The files under ``<data_dir>/digits``."""

SVHN = "http://ufldl.stanford.edu/housenumbers"
COLOURED: Mapping[str, tuple[Remote, Remote]] = {
    "svhn": (
        {
            "name": "train_32x32.mat",
            "urls": [f"{SVHN}/train_32x32.mat"],
            "size": 182040794,
            "hash": "md5:e26dedcc434d2e4c54c9b2d4a06d8373",
        },
        {
            "name": "test_32x32.mat",
            "urls": [f"{SVHN}/test_32x32.mat"],
            "size": 64275384,
            "hash": "md5:eb5a983be6a315427106f1b164d9cef3",
        },
    ),
    "syn_digits": (
        {"name": "synth_train_32x32.mat", "urls": []},
        {"name": "synth_test_32x32.mat", "urls": []},
    ),
}
"""The training and the test file of the sets under ``<data_dir>/digits/<name>``."""

SUBSETS: Mapping[str, tuple[str, ...]] = {
    "pair": ("mnist", "usps"),
    "full": ("mnist", "usps", "mnistm"),
    "five": ("mnist", "usps", "mnistm", *COLOURED),
}

LICENCES = {
    "mnist": "none on the official page; usually passed on as CC BY-SA 3.0",
    "usps": "none stated",
    "mnistm": "none stated; made of BSDS500's photographs, which are for non-commercial use",
    "svhn": "for non-commercial use",
}

BY_HAND = {
    "syn_digits": "SynDigits cannot be downloaded from here: its files, in SynDigits.zip, are on "
    "http://yaroslav.ganin.net/ (a file of Google Drive)"
}

ARRAYS: dict[str, dict[str, str]] = {
    "mnist": {
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "e474323ac02fc156161b0bbb1f8c9cfeb327a74bcd9f9680a8385269a24f566c",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "2fd8de6bdb8d11780b4b96dc57847bcfe6953f7c32aa48bfcd8237c3b7847243",
    },
    "usps": {
        "x_train": "33806663a3c5b34ee51ba9ff81f46057c8d010d245f36fcadb9ec3af69a53324",
        "y_train": "d2205a402e10ef9785bcb548e666f1fdc5d719287eac6d14327f77964ca173c1",
        "x_test": "77ce29f27c0f0d8428408cc407c2ba36f9049c0fe4d7f3ff89e0aa6cef9ddbc2",
        "y_test": "83d5538087f38b4aa9a64e4c69e47ae24d1b4eaa601c3d41c4a32d7c2739d831",
    },
    "mnistm": {
        "x_train": "3c689850ded80df111260294d02c79ee0a6e602a9fd634c4e08e1339628f8d33",
        "y_train": "706846f63698089915df01d69f68a3a4bf4938e96cf980fa13dd7302b596de45",
        "x_test": "47415b066fe8a39de3f0e86f65a72d4c4078f1e2557a388ca0a7cfd8dfe90b14",
        "y_test": "c4400913454556e7da8c73c61e590010f09820f05536cf48e9715bcdb948c19e",
    },
}
"""The sha256 of the bytes of each array, in C order, for the sets as published."""

# what numpy, zipfile and Pillow raise on files that are damaged or of another kind
_UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError),
    *(NotImplementedError, zipfile.BadZipFile, zlib.error),
)


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
        normalize: ``none``, or ``l2``: flat rows of length 1, black being 0, for shallow methods.
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
        normalize: Literal["none", "l2"],
        size: Count | None,
        margin: dict[str, int] | None,
        data_dir: Annotated[str, Irrelevant()],
        download: Annotated[bool, Irrelevant()],
        mirrors: Annotated[list[str], Irrelevant()],
        timeout: Annotated[Positive, Irrelevant()],
        **roles: Unpack[Roles],
    ) -> None:
        every, self.names = self.names, SUBSETS[subset]
        asked = {*roles["source"], *(roles["target"] or ())}
        if others := [name for name in every if name in asked and name not in self.names]:
            has = "digits_five" if {*others} & {*COLOURED} else "digits_full"
            raise InputError(
                f"dataset.subset={subset} has the domains {listed(self.names)}, not "
                f"{listed(others)}; dataset={has} has it"
            )
        super().__init__(**roles)
        self.subset = subset
        self.normalize = normalize
        self.size = size or (16 if subset == "pair" else 28)
        most = min(7, (self.size - 1) // 2)
        if wrong := {
            name: own
            for name, own in (margin or {}).items()
            if name not in self.names or abs(own) > most
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
        return (stored,) if stored.is_file() else _parts_of_mnistm(self.folder)

    def fingerprint(self, name: str) -> str:
        self._complete(name)
        return super().fingerprint(name)

    def licence(self, name: str) -> str:
        return LICENCES.get(name, super().licence(name))

    def load(self, name: str) -> Domain:
        domain = self.images(name)
        if self.normalize == "none":
            return domain
        x = domain.x.reshape(len(domain.x), -1).astype(np.float64)
        x -= -1 if self.subset == "pair" else 0
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        return domain._replace(x=x.astype(np.float32))

    def images(self, name: str) -> Domain:
        """A domain as pictures."""
        if self.subset == "pair":
            arrays = _read(PAIR, (f"x_{name}", f"y_{name}"))
            images = arrays[f"x_{name}"].reshape(-1, 16, 16) * 2 - 1
            return Domain(self._framed(images, name, channels=1), arrays[f"y_{name}"])
        self._complete(name)
        if name in COLOURED:
            read: Mapping[str, Array] = _matlab(self.files(name))
        else:
            read = mnistm_arrays(self.folder) if name == "mnistm" else _published(self.folder, name)
        channels = 3 if {"mnistm", *COLOURED} & {*self.domains, name} else 1
        parts = [self._framed(read[f"x_{part}"], name, channels) for part in mnistm.PARTS]
        test = np.repeat([False, True], [len(part) for part in parts])
        return Domain(
            np.concatenate(parts), np.concatenate([read["y_train"], read["y_test"]]), test
        )

    def _framed(self, images: Array, name: str, channels: int) -> Array:
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

    def _complete(self, name: str) -> None:
        """Sees to it that the files of all domains in use are there."""
        domains = dict.fromkeys((*self.domains, name))
        lacking = _lacking(file for domain in domains for file in self.files(domain))
        if not lacking:
            return
        if not self.download or not all(_fetchable(file) for file in lacking):
            raise _missing(lacking, self.folder)
        for own in dict.fromkeys(_set(file) for file in lacking):
            fetch(own, self.folder, mirrors=self.mirrors, timeout=self.timeout)


def fetch(name: str, folder: Path, *, mirrors: Sequence[str] = (), timeout: float = 30.0) -> Path:
    """Downloads MNIST or USPS and writes it as ``<name>.npz``; the raw files stay in ``raw``.

    Of several processes one does, and the others find it. SVHN stays as it comes.

    Args:
        name: ``mnist``, ``usps`` or ``svhn``.
        folder: the folder ``digits``.
        mirrors: addresses of folders that are asked before the official ones.
        timeout: seconds that a server may be silent.

    Raises:
        InputError: no connection, or what came is not the published data.
    """
    with wait_for_lock(folder, "downloads"):
        if name in COLOURED:
            for remote in COLOURED[name]:
                downloads.fetch(remote, folder / name, mirrors=mirrors, timeout=timeout)
            return folder / name
        file = folder / f"{name}.npz"
        if not file.is_file():
            for remote, place in _raw_files(name, folder / "raw"):
                downloads.fetch(remote, place, mirrors=mirrors, timeout=timeout)
            save(file, _verified(file, _unpacked(name, folder / "raw"), name))
        return file


def _raw_files(name: str, raw: Path) -> list[tuple[Remote, Path]]:
    """The files of MNIST or USPS, and where torchvision looks for them."""
    from torchvision import datasets

    if name == "usps":
        return [
            ({"name": file, "urls": [url], "hash": f"md5:{md5}"}, raw)
            for url, file, md5 in datasets.USPS.split_list.values()
        ]
    return [
        (
            {
                "name": file,
                "urls": [mirror + file for mirror in datasets.MNIST.mirrors],
                "hash": f"md5:{md5}",
            },
            raw / "MNIST" / "raw",
        )
        for file, md5 in datasets.MNIST.resources
    ]


def _unpacked(name: str, raw: Path) -> dict[str, Array]:
    """The arrays of MNIST or USPS, from the files that have come."""
    from torchvision import datasets

    arrays: dict[str, Array] = {}
    try:
        for part in mnistm.PARTS:
            kind = {"mnist": datasets.MNIST, "usps": datasets.USPS}[name]
            got = kind(str(raw), train=part == "train", download=True)
            arrays[f"x_{part}"] = np.asarray(got.data)
            arrays[f"y_{part}"] = np.asarray(got.targets, dtype=np.int64)
    except (*_UNREADABLE, RuntimeError, AssertionError) as error:
        raise InputError(
            f"{name} could not be unpacked ({_reason(error)}); remove {raw} and try again"
        ) from error
    return arrays


def prepare_mnistm(folder: Path, seed: int | None) -> Path:
    """Writes MNIST-M as ``mnistm.npz``, where it is read from faster than it is rebuilt.

    Args:
        folder: the folder ``digits``, with MNIST and the photographs.
        seed: of a fresh draw; ``None`` rebuilds the published images by their recipe.

    Raises:
        InputError: files are missing, or another MNIST-M is there already.
    """
    file = folder / STORED
    wanted = mnistm.ORIGINAL if seed is None else f"seed {seed}"
    if file.is_file():
        found = str(_read(file, ("recipe",))["recipe"])
        if found != wanted:
            raise InputError(
                f"{file} holds another MNIST-M already (recipe: {found}; wanted: {wanted}); "
                "move it away or remove it first"
            )
        return file
    mnist, photos, _ = _parts_of_mnistm(folder)
    if seed is None:
        arrays = mnistm_arrays(folder)
    elif lacking := _lacking((mnist, photos)):
        raise _missing(lacking, folder)
    else:
        arrays = mnistm.draw(_published(folder, "mnist"), read_photos(photos), seed)
    save(file, arrays, compress=False)
    return file


def mnistm_arrays(folder: Path) -> Mapping[str, Array]:
    """MNIST-M as stored, or else rebuilt from MNIST, the photographs and the recipe."""
    stored = folder / STORED
    if stored.is_file():
        arrays = _read(stored, ("recipe", *ARRAYS["mnistm"]))
        if str(arrays["recipe"]) == mnistm.ORIGINAL:
            return _verified(stored, arrays, "mnistm")
        return arrays
    mnist, photos, recipe = parts = _parts_of_mnistm(folder)
    if lacking := _lacking(parts):
        raise _missing(lacking, folder)
    keys = ("photo_names", "loc_train", "loc_test", "index_train", "index_test")
    arrays = mnistm.rebuild(_published(folder, "mnist"), read_photos(photos), _read(recipe, keys))
    if difference := _difference(arrays, "mnistm"):
        raise InputError(
            f"MNIST-M rebuilt from {mnist}, {photos.name} and {recipe.name} is not the published "
            f"one: {difference}; the photographs must be the original JPEG files of BSDS500, "
            "decoded by Pillow with libjpeg-turbo, and the recipe the one of "
            f"{FILES[RECIPE].sha256}"
        )
    return arrays


def read_photos(file: Path) -> dict[str, Array]:
    """The JPEG files of a zip by their names without folders: (height, width, 3) uint8 each."""
    photos: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.namelist():
                if member.lower().endswith((".jpg", ".jpeg")):
                    with archive.open(member) as stream, Image.open(stream) as image:
                        photos[PurePosixPath(member).name] = np.asarray(image.convert("RGB"))
    except _UNREADABLE as error:
        raise _damaged(file, error) from error
    usable = all(min(photo.shape[:2]) >= mnistm.SIZE for photo in photos.values())
    if not photos or not usable:
        raise InputError(
            f"{file} holds {len(photos)} JPEG files{'' if usable else ', some below 32x32'}; it "
            f"should be {FILES[PHOTOS].what}"
        )
    return photos


def save(file: Path, arrays: Mapping[str, Array], *, compress: bool = True) -> None:
    """Writes arrays under a temporary name first: an interrupted run leaves no half file."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            (np.savez_compressed if compress else np.savez)(stream, **arrays)  # type: ignore[arg-type]
        os.replace(partial, file)
    except OSError as error:
        raise InputError(
            f"{file} cannot be written ({error}); make room or point dataset.data_dir or DA_DATA "
            "at a folder that can be written to"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _parts_of_mnistm(folder: Path) -> tuple[Path, Path, Path]:
    return folder / "mnist.npz", folder / PHOTOS, folder / RECIPE


def _published(folder: Path, name: str) -> dict[str, Array]:
    file = folder / f"{name}.npz"
    return _verified(file, _read(file, ARRAYS[name]), name)


def _read(file: Path, keys: Iterable[str]) -> dict[str, Array]:
    """Some arrays of an ``.npz``."""
    try:
        # opened here: numpy leaves a file open whose end is missing
        with file.open("rb") as stream, np.load(stream) as archive:
            found = list(archive.files)
            if not (lacking := [key for key in keys if key not in found]):
                return {key: archive[key] for key in keys}
    except _UNREADABLE as error:
        raise _damaged(file, error) from error
    raise InputError(
        f"{file} has the arrays {listed(found)}, but not {listed(lacking)}: it is another file; "
        f"{_again(file)}"
    )


def _verified(file: Path, arrays: dict[str, Array], name: str) -> dict[str, Array]:
    if difference := _difference(arrays, name):
        raise InputError(f"{file} is not {name} as published: {difference}; {_again(file)}")
    return arrays


def _difference(arrays: Mapping[str, Array], name: str) -> str | None:
    """What differs from the set as published, if anything."""
    for key, expected in ARRAYS[name].items():
        found = hashlib.sha256(np.ascontiguousarray(arrays[key]).data).hexdigest()
        if found != expected:
            return f"the sha256 of {key} should be {expected}, but it is {found}"
    return None


def _lacking(files: Iterable[Path]) -> list[Path]:
    return [file for file in dict.fromkeys(files) if not file.is_file()]


def _set(file: Path) -> str:
    """The data set that a file is of."""
    return file.parent.name if file.parent.name in COLOURED else file.stem


def _fetchable(file: Path) -> bool:
    """Whether it can be downloaded."""
    return _set(file) in ("mnist", "usps", "svhn")


def _matlab(files: Sequence[Path]) -> dict[str, Array]:
    """The arrays of SVHN and SynDigits, where the digit 0 has the label 10."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    arrays: dict[str, Array] = {}
    for part, file in zip(mnistm.PARTS, files, strict=True):
        try:
            found = loadmat(file)
            x, y = found["X"].transpose(3, 0, 1, 2), found["y"].reshape(-1).astype(np.int64) % 10
        except (*_UNREADABLE, KeyError, MatReadError) as error:
            raise InputError(
                f"{file} cannot be read ({_reason(error)}), it is damaged or another file: remove "
                "it and fetch it again"
            ) from error
        arrays |= {f"x_{part}": np.ascontiguousarray(x), f"y_{part}": y}
    return arrays


def _missing(files: Sequence[Path], folder: Path) -> InputError:
    """One message for all files that are not there."""
    lines = [f"files of the whole digits are missing in {folder}:"]
    for file in files:
        if (name := _set(file)) in COLOURED:
            remotes = {remote["name"]: remote for remote in COLOURED[name]}
            lines.append(f"  {name}/{described(remotes[file.name])}")
            continue
        origin = FILES[file.name]
        lines.append(f"  {file.name} ({origin.size} bytes, sha256 {origin.sha256}): {origin.what}")
    lines.append(
        f"prepare them: python scripts/prepare_digits.py --data-dir {folder.parent} "
        "(dataset.download=true does the same for MNIST and USPS from da train, and fetches SVHN)"
    )
    lines += [words for name, words in BY_HAND.items() if name in map(_set, files)]
    if any(file.name in (PHOTOS, RECIPE) for file in files):
        lines.append(
            f"MNIST-M cannot be downloaded: put {PHOTOS} and {RECIPE} into {folder}; without the "
            "recipe, --mnistm 1 draws a fresh MNIST-M from the photographs by seed 1 (not the "
            "published images); --mnistm skip leaves it out"
        )
    lines.append(
        "already have them? point dataset.data_dir or DA_DATA at the folder that holds digits/"
    )
    return InputError("\n".join(lines))


def _damaged(file: Path, error: Exception) -> InputError:
    return InputError(
        f"{file} cannot be read ({_reason(error)}), it is damaged or truncated: {_again(file)}"
    )


def _again(file: Path) -> str:
    if file == PAIR:
        return "install da_framework again"
    if file.name in (PHOTOS, RECIPE):
        return f"fetch it again: {FILES[file.name].what}"
    command = f"python scripts/prepare_digits.py --data-dir {file.parent.parent}"
    also = " (or set dataset.download=true)" if file.name in FILES else ""
    return f"fetch it again: remove it and run {command}{also}"


def _reason(error: Exception) -> str:
    """An error on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
