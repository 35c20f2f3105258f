"""The files of the digits: where they come from, and how they are fetched, verified and read."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from da_framework.core.errors import InputError, listed, one_line
from da_framework.core.files import synced_write, wait_for_lock
from da_framework.core.pictures import open_picture
from da_framework.datasets import mnistm
from da_framework.datasets.base import PARTS, Array
from da_framework.datasets.downloads import Remote, describe_remote, download_file
from da_framework.datasets.published import PublishedFile

PHOTOS = "bsds500_train_images.zip"
RECIPE = "mnistm_recipe.npz"
STORED = "mnistm.npz"
PAIR = Path(__file__).with_name("mnist_vs_usps.npz")

FILES: Mapping[str, PublishedFile] = {
    "mnist.npz": PublishedFile(
        11507688,
        "094b831e432331f1f6d6829ab9bfff4551410a81e1f816c9cce482d3e9b3ba57",
        "MNIST, http://yann.lecun.com/exdb/mnist/",
    ),
    "usps.npz": PublishedFile(
        1104324,
        "4f0e1d444f3586b184b89819d38941d97b813c683fc08456d8c4e534c048d6c1",
        "USPS, https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps",
    ),
    PHOTOS: PublishedFile(
        14575894,
        "42567a22e5cc917c638f6aee1b916f463ff970c666bf3cb65c706497cc95ed1e",
        "a zip of the 200 JPEG files in BSDS500/data/images/train, "
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
    ),
    RECIPE: PublishedFile(
        378545,
        "79692b09f60117c9bd97de012c9655617467cfc46c08030426f62ee167ef44ba",
        "which window of which photograph is behind each digit of MNIST-M, "
        "http://yaroslav.ganin.net/",
    ),
}
"""The files under ``<data_dir>/digits``; what is checked on reading are the arrays (``ARRAYS``)."""

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


def fetch_digits(
    name: str, folder: Path, *, mirrors: Sequence[str] = (), timeout: float = 30.0
) -> Path:
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
                download_file(remote, folder / name, mirrors=mirrors, timeout=timeout)
            return folder / name
        file = folder / f"{name}.npz"
        if not file.is_file():
            for remote, place in raw_files(name, folder / "raw"):
                download_file(remote, place, mirrors=mirrors, timeout=timeout)
            save_arrays(file, verify_arrays(file, unpack_raw_files(name, folder / "raw"), name))
        return file


def raw_files(name: str, raw: Path) -> list[tuple[Remote, Path]]:
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


def unpack_raw_files(name: str, raw: Path) -> dict[str, Array]:
    """The arrays of MNIST or USPS, from the files that have come."""
    from torchvision import datasets

    arrays: dict[str, Array] = {}
    try:
        for part in PARTS:
            kind = {"mnist": datasets.MNIST, "usps": datasets.USPS}[name]
            unpacked = kind(str(raw), train=part == "train", download=True)
            arrays[f"x_{part}"] = np.asarray(unpacked.data)
            arrays[f"y_{part}"] = np.asarray(unpacked.targets, dtype=np.int64)
    except (*_UNREADABLE, RuntimeError, AssertionError) as error:
        raise InputError(
            f"{name} could not be unpacked ({_describe_error(error)}); remove {raw} and try again"
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
        stored = str(read_arrays(file, ("recipe",))["recipe"])
        if stored != wanted:
            raise InputError(
                f"{file} holds another MNIST-M already (recipe: {stored}; wanted: {wanted}); "
                "move it away or remove it first"
            )
        return file
    mnist, photos, _ = mnistm_sources(folder)
    if seed is None:
        arrays = load_mnistm(folder)
    elif lacking := missing_files((mnist, photos)):
        raise explain_missing(lacking, folder)
    else:
        arrays = mnistm.draw(read_published(folder, "mnist"), read_photos(photos), seed)
    save_arrays(file, arrays, compress=False)
    return file


def load_mnistm(folder: Path) -> Mapping[str, Array]:
    """MNIST-M as stored, or else rebuilt from MNIST, the photographs and the recipe.

    Raises:
        InputError: files are missing, damaged, or not the published ones.
    """
    stored = folder / STORED
    if stored.is_file():
        arrays = read_arrays(stored, ("recipe", *ARRAYS["mnistm"]))
        if str(arrays["recipe"]) == mnistm.ORIGINAL:
            return verify_arrays(stored, arrays, "mnistm")
        return arrays
    mnist, photos, recipe = parts = mnistm_sources(folder)
    if lacking := missing_files(parts):
        raise explain_missing(lacking, folder)
    keys = ("photo_names", "loc_train", "loc_test", "index_train", "index_test")
    arrays = mnistm.rebuild(
        read_published(folder, "mnist"), read_photos(photos), read_arrays(recipe, keys)
    )
    if difference := _describe_difference(arrays, "mnistm"):
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
                    with open_picture(archive.read(member)) as image:
                        photos[PurePosixPath(member).name] = np.asarray(image.convert("RGB"))
    except _UNREADABLE as error:
        raise _explain_damage(file, error) from error
    usable = all(min(photo.shape[:2]) >= mnistm.SIZE for photo in photos.values())
    if not photos or not usable:
        raise InputError(
            f"{file} holds {len(photos)} JPEG files{'' if usable else ', some below 32x32'}; it "
            f"should be {FILES[PHOTOS].what}"
        )
    return photos


def save_arrays(file: Path, arrays: Mapping[str, Array], *, compress: bool = True) -> None:
    """Writes an ``.npz``, whole or not at all: an interrupted run leaves no half file.

    Raises:
        InputError: it cannot be written.
    """
    try:
        with synced_write(file) as partial, partial.open("wb") as stream:
            (np.savez_compressed if compress else np.savez)(stream, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(
            f"{file} cannot be written ({error}); make room or point dataset.data_dir or DA_DATA "
            "at a folder that can be written to"
        ) from error


def mnistm_sources(folder: Path) -> tuple[Path, Path, Path]:
    """What MNIST-M is rebuilt from: MNIST, the photographs and the recipe."""
    return folder / "mnist.npz", folder / PHOTOS, folder / RECIPE


def read_published(folder: Path, name: str) -> dict[str, Array]:
    """The arrays of MNIST or USPS.

    Raises:
        InputError: the file is damaged, or not the published data.
    """
    file = folder / f"{name}.npz"
    return verify_arrays(file, read_arrays(file, ARRAYS[name]), name)


def read_arrays(file: Path, keys: Iterable[str]) -> dict[str, Array]:
    """Some arrays of an ``.npz``.

    Raises:
        InputError: it is damaged, or does not hold them.
    """
    try:
        # opened here: numpy leaves a file open whose end is missing
        with file.open("rb") as stream, np.load(stream) as archive:
            held = list(archive.files)
            if not (lacking := [key for key in keys if key not in held]):
                return {key: archive[key] for key in keys}
    except _UNREADABLE as error:
        raise _explain_damage(file, error) from error
    raise InputError(
        f"{file} has the arrays {listed(held)}, but not {listed(lacking)}: it is another file; "
        f"{_how_to_mend(file)}"
    )


def verify_arrays(file: Path, arrays: dict[str, Array], name: str) -> dict[str, Array]:
    """The same arrays, which have the published hashes (``ARRAYS``).

    Raises:
        InputError: one of them is another.
    """
    if difference := _describe_difference(arrays, name):
        raise InputError(f"{file} is not {name} as published: {difference}; {_how_to_mend(file)}")
    return arrays


def _describe_difference(arrays: Mapping[str, Array], name: str) -> str | None:
    """How arrays differ from the published ones, if they do."""
    for key, expected in ARRAYS[name].items():
        sha256 = hashlib.sha256(np.ascontiguousarray(arrays[key]).data).hexdigest()
        if sha256 != expected:
            return f"the sha256 of {key} should be {expected}, but it is {sha256}"
    return None


def missing_files(files: Iterable[Path]) -> list[Path]:
    """Those files that are not there, each once."""
    return [file for file in dict.fromkeys(files) if not file.is_file()]


def data_set_of(file: Path) -> str:
    """The data set that a file is of."""
    return file.parent.name if file.parent.name in COLOURED else file.stem


def is_downloadable(file: Path) -> bool:
    """Whether a file can be downloaded."""
    return data_set_of(file) in ("mnist", "usps", "svhn")


def read_matlab(files: Sequence[Path]) -> dict[str, Array]:
    """The arrays of SVHN and SynDigits, where the digit 0 has the label 10."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    arrays: dict[str, Array] = {}
    for part, file in zip(PARTS, files, strict=True):
        try:
            held = loadmat(file)
            x, y = held["X"].transpose(3, 0, 1, 2), held["y"].reshape(-1).astype(np.int64) % 10
        except (*_UNREADABLE, KeyError, MatReadError) as error:
            raise InputError(
                f"{file} cannot be read ({_describe_error(error)}), it is damaged or another file: "
                "remove it and fetch it again"
            ) from error
        arrays |= {f"x_{part}": np.ascontiguousarray(x), f"y_{part}": y}
    return arrays


def explain_missing(files: Sequence[Path], folder: Path) -> InputError:
    """One error for all files that are not there: what they are and how to get them."""
    lines = [f"files of the whole digits are missing in {folder}:"]
    for file in files:
        if (name := data_set_of(file)) in COLOURED:
            remotes = {remote["name"]: remote for remote in COLOURED[name]}
            lines.append(f"  {name}/{describe_remote(remotes[file.name])}")
            continue
        lines.append(f"  {FILES[file.name].describe(file.name)}")
    lines.append(
        f"prepare them: python scripts/prepare_digits.py --data-dir {folder.parent} "
        "(dataset.download=true does the same for MNIST and USPS from da train, and fetches SVHN)"
    )
    lines += [how for name, how in BY_HAND.items() if name in map(data_set_of, files)]
    if any(file.name in (PHOTOS, RECIPE) for file in files):
        lines.append(
            f"MNIST-M cannot be downloaded: put {PHOTOS} and {RECIPE} into {folder}; without the "
            "recipe, --mnistm 1 draws a fresh MNIST-M from the photographs by seed 1 (not the "
            "published images); --mnistm skip leaves it out"
        )
    lines.append(
        "already have them? point dataset.data_dir or DA_DATA at the folder that holds digits/"
    )
    return InputError(*lines)


def _explain_damage(file: Path, error: Exception) -> InputError:
    return InputError(
        f"{file} cannot be read ({_describe_error(error)}), it is damaged or truncated: "
        f"{_how_to_mend(file)}"
    )


def _how_to_mend(file: Path) -> str:
    if file == PAIR:
        return "install da_framework again"
    if file.name in (PHOTOS, RECIPE):
        return f"fetch it again: {FILES[file.name].what}"
    command = f"python scripts/prepare_digits.py --data-dir {file.parent.parent}"
    also = " (or set dataset.download=true)" if file.name in FILES else ""
    return f"fetch it again: remove it and run {command}{also}"


def _describe_error(error: Exception) -> str:
    """An error on one line; its kind where it says nothing."""
    return one_line(error) or type(error).__name__
