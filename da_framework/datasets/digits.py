"""Handwritten digits: MNIST, USPS and MNIST-M, whole, or the small pair of shallow methods."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, Unpack

import numpy as np
from PIL import Image

from da_framework.datasets import mnistm
from da_framework.datasets.base import Array, Dataset, Domain, Roles
from da_framework.errors import InputError, listed
from da_framework.ranges import Count


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
    """Ten digits, as written for three data sets.

    The pair is the 2000 images of MNIST and 1800 of USPS that shallow methods are compared on:
    float32 in [-1, 1], without an official test part. The whole sets are uint8 with their official
    test parts; grey ones have three channels as soon as MNIST-M is in use.

    - LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998.
    - Hull, "A database for handwritten text recognition research", IEEE TPAMI 1994.
    - Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016.
    - The pair: Long et al., "Transfer Feature Learning with Joint Distribution Adaptation",
      ICCV 2013.

    Args:
        subset: ``pair`` (part of the package) or ``full`` (read from ``data_dir``).
        normalize: ``none``, or ``l2``: flat rows of length 1, black being 0, for shallow methods.
        size: height and width that images are resized to, bilinearly; ``None`` is 16 for the pair
            and 28 for the whole sets.
        data_dir: the folder that holds ``digits/``.
        download: fetches MNIST and USPS where they are missing.
    """

    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    names: tuple[str, ...] = ("mnist", "usps", "mnistm")

    def __init__(
        self,
        *,
        subset: Literal["pair", "full"],
        normalize: Literal["none", "l2"],
        size: Count | None,
        data_dir: str,
        download: bool,
        **roles: Unpack[Roles],
    ) -> None:
        if subset == "pair":
            self.names = ("mnist", "usps")
            if "mnistm" in (*roles.get("source", ()), *(roles.get("target") or ())):
                raise InputError(
                    "dataset=digits is the small pair of mnist and usps and has no domain mnistm; "
                    "dataset=digits_full has it"
                )
        super().__init__(**roles)
        self.subset = subset
        self.normalize = normalize
        self.size = size or {"pair": 16, "full": 28}[subset]
        self.folder = Path(data_dir).expanduser().absolute() / "digits"
        self.download = download

    def files(self, name: str) -> Sequence[Path]:
        if self.subset == "pair":
            return (PAIR,)
        if name != "mnistm":
            return (self.folder / f"{name}.npz",)
        stored = self.folder / STORED
        return (stored,) if stored.is_file() else _parts_of_mnistm(self.folder)

    def fingerprint(self, name: str) -> str:
        self._complete(name)
        return super().fingerprint(name)

    def load(self, name: str) -> Domain:
        domain = self.images(name)
        if self.normalize == "none":
            return domain
        x = domain.x.reshape(len(domain.x), -1).astype(np.float64)
        x -= {"pair": -1, "full": 0}[self.subset]
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        return domain._replace(x=x.astype(np.float32))

    def images(self, name: str) -> Domain:
        """A domain as pictures."""
        if self.subset == "pair":
            arrays = _read(PAIR, (f"x_{name}", f"y_{name}"))
            images = arrays[f"x_{name}"].reshape(-1, 16, 16) * 2 - 1
            return Domain(_framed(images, self.size, channels=1), arrays[f"y_{name}"])
        self._complete(name)
        read = mnistm_arrays(self.folder) if name == "mnistm" else _published(self.folder, name)
        channels = 3 if "mnistm" in (*self.domains, name) else 1
        parts = [_framed(read[f"x_{part}"], self.size, channels) for part in mnistm.PARTS]
        test = np.repeat([False, True], [len(part) for part in parts])
        return Domain(
            np.concatenate(parts), np.concatenate([read["y_train"], read["y_test"]]), test
        )

    def _complete(self, name: str) -> None:
        """Sees to it that the files of all domains in use are there."""
        domains = dict.fromkeys((*self.domains, name))
        lacking = _lacking(file for domain in domains for file in self.files(domain))
        if not lacking:
            return
        if not self.download or any(file.stem not in ("mnist", "usps") for file in lacking):
            raise _missing(lacking)
        for file in lacking:
            fetch(file.stem, self.folder)


def fetch(name: str, folder: Path) -> Path:
    """Downloads MNIST or USPS and writes it as ``<name>.npz``; the raw files stay in ``raw``.

    Args:
        name: ``mnist`` or ``usps``.
        folder: the folder ``digits``.

    Raises:
        InputError: no connection, or what came is not the published data.
    """
    from torchvision import datasets

    raw = folder / "raw"
    file = folder / f"{name}.npz"
    arrays: dict[str, Array] = {}
    try:
        raw.mkdir(parents=True, exist_ok=True)
        for part in mnistm.PARTS:
            kind = {"mnist": datasets.MNIST, "usps": datasets.USPS}[name]
            got = kind(str(raw), train=part == "train", download=True)
            arrays[f"x_{part}"] = np.asarray(got.data)
            arrays[f"y_{part}"] = np.asarray(got.targets, dtype=np.int64)
    except (*_UNREADABLE, HTTPException, RuntimeError, AssertionError) as error:
        raise InputError(
            f"{name} could not be downloaded to {raw} ({_reason(error)}); remove {raw} and try "
            f"again, or put {file.name} into {folder} from elsewhere: {FILES[file.name].what}"
        ) from error
    save(file, _verified(file, arrays, name))
    return file


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
        raise _missing(lacking)
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
        raise _missing(lacking)
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


def _framed(images: Array, size: int, channels: int) -> Array:
    """Images (n, height, width) or (n, height, width, 3) as (n, channels, size, size)."""
    framed = np.empty((len(images), channels, size, size), images.dtype)
    resized = images.shape[1:3] != (size, size)
    for row, image in enumerate(images):
        if resized:
            shape = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
            image = np.asarray(shape)
        framed[row] = image if image.ndim == 2 else image.transpose(2, 0, 1)
    return framed


def _lacking(files: Iterable[Path]) -> list[Path]:
    return [file for file in dict.fromkeys(files) if not file.is_file()]


def _missing(files: Sequence[Path]) -> InputError:
    """One message for all files that are not there."""
    folder = files[0].parent
    lines = [f"files of dataset=digits_full are missing in {folder}:"]
    for file in files:
        origin = FILES[file.name]
        lines.append(f"  {file.name} ({origin.size} bytes, sha256 {origin.sha256}): {origin.what}")
    lines.append(
        f"prepare them: python scripts/prepare_digits.py --data-dir {folder.parent} "
        "(dataset.download=true does the same for MNIST and USPS from da train)"
    )
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
