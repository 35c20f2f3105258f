import bz2
import gzip
import hashlib
import os
import runpy
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.io import savemat

from da_framework.core.errors import InputError
from da_framework.datasets import digits_files
from da_framework.datasets.base import Array
from da_framework.datasets.digits import Digits
from da_framework.datasets.digits_files import FILES, PAIR, PHOTOS, RECIPE, STORED
from da_framework.datasets.mnistm import rebuild

TRAIN, TEST = 30, 10
REAL = os.environ.get("DA_DATA")
NEEDS_REAL = pytest.mark.skipif(REAL is None, reason="needs the whole digits: set DA_DATA")
PREPARE = Path(__file__).parents[2] / "scripts" / "prepare_digits.py"


def digits(data_dir: Path | str = "nowhere", **keys: Any) -> Digits:
    given: dict[str, Any] = {
        "subset": "full",
        "normalize": "none",
        "size": None,
        "margin": None,
        "data_dir": str(data_dir),
        "download": False,
        "mirrors": [],
        "timeout": 5.0,
        "source": ["mnist"],
        "target": ["usps"],
        "protocol": "inductive",
        "labels_per_class": 0,
        "val": 0.1,
        "test": 0.2,
        "split_seed": 0,
        "batch_size": {"source": 8, "target": 8},
    }
    return Digits(**(given | keys))


def pair(**keys: Any) -> Digits:
    return digits(subset="pair", **({"protocol": "transductive"} | keys))


@pytest.mark.parametrize("normalize", ["source", "domain"])
def test_pixels_are_scaled_by_the_source_or_by_each_domain(
    tmp_path: Path, twins: dict[str, dict[str, Array]], normalize: str
) -> None:
    for name, arrays in twins.items():
        (tmp_path / "digits").mkdir(exist_ok=True)
        np.savez(tmp_path / "digits" / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    plain, data = digits(tmp_path), digits(tmp_path, normalize=normalize)
    for name in ("mnist", "usps"):
        fitted = plain["mnist" if normalize == "source" else name]
        assert fitted.test is not None
        known = fitted.x[~fitted.test] / 127.5 - 1
        expected = (plain[name].x / 127.5 - 1 - known.mean()) / known.std()
        assert data[name].x.dtype == np.float32
        assert_allclose(data[name].x, expected, rtol=1e-4, atol=1e-5)
    inputs = data.inputs("usps")
    assert_allclose(inputs["mean"], [[[known.mean()]]], atol=1e-6)  # usps, the last, or mnist


def test_the_pair_s_pixels_are_scaled_too() -> None:
    x = pair(normalize="source")["mnist"].x
    assert_allclose([x.mean(), x.std()], [0, 1], atol=1e-4)
    assert pair(normalize="source")["usps"].x.shape == (1800, 1, 16, 16)


def hashes(arrays: Mapping[str, Array]) -> dict[str, str]:
    keys = ("x_train", "y_train", "x_test", "y_test")
    return {key: hashlib.sha256(arrays[key].tobytes()).hexdigest() for key in keys}


def small(side: int, seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for part, n in (("train", TRAIN), ("test", TEST)):
        arrays[f"x_{part}"] = random.integers(0, 256, (n, side, side), np.uint8)
        arrays[f"y_{part}"] = np.arange(n) % 10
    return arrays


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Array]]:
    """Small sets that pass for the published ones."""
    sets = {"mnist": small(28, 1), "usps": small(16, 2)}
    for name, arrays in sets.items():
        monkeypatch.setitem(digits_files.ARRAYS, name, hashes(arrays))
    return sets


@pytest.fixture
def data_dir(tmp_path: Path, twins: dict[str, dict[str, Array]]) -> Path:
    """A folder with the small sets and with photographs and a recipe."""
    folder = tmp_path / "digits"
    for name, arrays in twins.items():
        digits_files.save_arrays(folder / f"{name}.npz", arrays)
    random = np.random.default_rng(3)
    names = ["one.jpg", "two.jpg"]
    with zipfile.ZipFile(folder / PHOTOS, "w") as archive:
        for name in names:
            pixels = random.integers(0, 256, (40, 50, 3), np.uint8)
            with archive.open(f"BSDS500/train/{name}", "w") as stream:
                Image.fromarray(pixels).save(stream, "JPEG")
    recipe: dict[str, Array] = {"photo_names": np.array(names)}
    for part, n in (("train", TRAIN - 1), ("test", TEST - 1)):
        recipe[f"loc_{part}"] = random.integers(0, [2, 9, 19], (n, 3)).astype(np.int16)
        recipe[f"index_{part}"] = np.arange(n, dtype=np.int32)
    digits_files.save_arrays(folder / RECIPE, recipe)
    return tmp_path


@pytest.fixture
def published(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, where the small MNIST-M by the recipe passes for the published one."""
    folder = data_dir / "digits"
    with np.load(folder / RECIPE) as recipe, np.load(folder / "mnist.npz") as mnist:
        rebuilt = rebuild(mnist, digits_files.read_photos(folder / PHOTOS), recipe)
    monkeypatch.setitem(digits_files.ARRAYS, "mnistm", hashes(rebuilt))
    return data_dir


def prepare(*arguments: str) -> int:
    code: int = runpy.run_path(str(PREPARE))["main"](list(arguments))
    return code


def test_the_pair_is_the_published_one() -> None:
    # sha256 of the arrays as converted from the authors' MNIST_vs_USPS.mat
    with np.load(PAIR) as arrays:
        sha256 = {key: hashlib.sha256(arrays[key].tobytes()).hexdigest() for key in arrays}
    assert sha256["x_mnist"] == "ac943bfc6b9bd437d55d4e2afcbcb97a4658eece10debfffc1b9f31a1f307cda"
    assert sha256["x_usps"] == "f245c2302e0c2c51c23a811c4cd096c7904d60ae050b3c72d2e9d1bab82b4c4f"


@pytest.mark.parametrize(
    ("name", "per_class"),
    [
        ("mnist", [196, 227, 207, 202, 196, 179, 191, 206, 195, 201]),
        ("usps", [352, 241, 165, 166, 166, 126, 139, 172, 129, 144]),
    ],
)
def test_the_pair_is_scaled_and_has_no_test_part(name: str, per_class: list[int]) -> None:
    x, y, test, _, _ = pair()[name]
    assert (x.shape[1:], str(x.dtype)) == ((1, 16, 16), "float32")
    assert test is None
    assert x.min() == -1
    assert 0.9 < x.max() <= 1
    assert np.bincount(y).tolist() == per_class


def test_the_pair_gives_the_published_nearest_neighbours() -> None:
    # Long et al. 2013, table 2, 1-NN on rows of unit length: 44.70 and 65.94 percent
    dataset = pair()
    rows = {
        name: ((dataset[name].x + 1) / 2).reshape(-1, 256).astype(float) for name in dataset.names
    }
    unit = {name: x / np.linalg.norm(x, axis=1, keepdims=True) for name, x in rows.items()}
    for source, target, expected in (("usps", "mnist", 44.70), ("mnist", "usps", 65.94)):
        nearest = (unit[target] @ unit[source].T).argmax(axis=1)
        accuracy = (dataset[source].y[nearest] == dataset[target].y).mean()
        assert accuracy * 100 == pytest.approx(expected, abs=0.01)


def test_the_pair_is_resized_on_demand() -> None:
    small_, large = pair()["mnist"].x, pair(size=32)["mnist"].x
    assert (large.shape[1:], str(large.dtype)) == ((1, 32, 32), "float32")
    assert_allclose(large.mean(axis=(1, 2, 3)), small_.mean(axis=(1, 2, 3)), atol=0.05)


def test_every_other_domain_of_the_pair_is_the_other_one() -> None:
    assert pair(target=None).target == ("usps",)
    assert digits(target=None).target == ("usps", "mnistm")
    assert pair().domains == ("mnist", "usps")


@pytest.mark.parametrize("roles", [{"source": ["mnistm"]}, {"target": ["mnistm"]}])
def test_the_pair_sends_mnistm_to_the_whole_sets(roles: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="dataset=digits_full has it"):
        pair(**roles)


def test_torch_is_not_imported() -> None:
    code = (
        "import sys; from da_framework.datasets.digits import Digits; "
        "Digits(subset='pair', normalize='none', size=None, margin=None, data_dir='.', "
        "download=False, mirrors=[], timeout=1., source=['mnist'], target=None, "
        "protocol='transductive', labels_per_class=0, val=0.1, test=0.1, split_seed=0, "
        "batch_size={}).split_roles(); "
        "assert not {'torch', 'torchvision', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_rows_of_length_1_are_the_grey_values() -> None:
    images, rows = pair()["usps"].x, pair(normalize="l2")["usps"].x
    assert rows.shape == (1800, 256)
    assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    assert rows.min() == 0
    grey = (images[7].ravel() + 1) / 2
    assert_allclose(rows[7], grey / np.linalg.norm(grey), atol=1e-6)


def test_whole_sets_are_grey_uint8_with_their_test_part(
    data_dir: Path, twins: dict[str, dict[str, Array]]
) -> None:
    x, y, test, _, _ = digits(data_dir)["mnist"]
    assert x.shape == (TRAIN + TEST, 1, 28, 28)
    assert (str(x.dtype), str(y.dtype)) == ("uint8", "int64")
    assert test is not None
    assert test.tolist() == [False] * TRAIN + [True] * TEST
    assert_array_equal(x[:TRAIN, 0], twins["mnist"]["x_train"])
    assert_array_equal(x[TRAIN:, 0], twins["mnist"]["x_test"])
    assert_array_equal(y, np.concatenate([twins["mnist"]["y_train"], twins["mnist"]["y_test"]]))


@pytest.mark.parametrize("size", [None, 20, 32])
def test_usps_is_resized_by_pillow(
    size: int | None, data_dir: Path, twins: dict[str, dict[str, Array]]
) -> None:
    side = size or 28
    image = Image.fromarray(twins["usps"]["x_train"][4])
    expected = image.resize((side, side), Image.Resampling.BILINEAR)
    assert_array_equal(digits(data_dir, size=size)["usps"].x[4, 0], np.asarray(expected))


def test_a_margin_is_black_and_goes_to_the_domain_that_it_names(
    data_dir: Path, twins: dict[str, dict[str, Array]]
) -> None:
    dataset = digits(data_dir, margin={"usps": 4})
    image = Image.fromarray(twins["usps"]["x_train"][4]).resize((20, 20), Image.Resampling.BILINEAR)
    assert_array_equal(dataset["usps"].x[4, 0], np.pad(np.asarray(image), 4))
    assert_array_equal(dataset["mnist"].x, digits(data_dir)["mnist"].x)
    small_ = pair(margin={"mnist": 2}, size=20)["mnist"].x
    assert_array_equal(
        small_, np.pad(pair()["mnist"].x, [(0, 0)] * 2 + [(2, 2)] * 2, constant_values=-1)
    )


def test_a_margin_below_0_is_cut_off(published: Path) -> None:
    image = digits_files.load_mnistm(published / "digits")["x_test"][3]
    x = digits(published, target=["mnistm"], margin={"mnistm": -2})["mnistm"].x
    assert_array_equal(x[TRAIN - 1 + 3], image[2:30, 2:30].transpose(2, 0, 1))


@pytest.mark.parametrize("margin", [{"svhn": 1}, {"usps": 8}, {"usps": -8}])
def test_a_margin_that_cannot_be_is_refused(margin: dict[str, int]) -> None:
    with pytest.raises(
        InputError, match=r"by domain \(mnist, usps, mnistm\) it has a whole number from -7 to 7"
    ):
        digits(margin=margin)


def test_all_have_three_channels_next_to_mnistm(published: Path) -> None:
    dataset = digits(published, source=["mnist", "usps"], target=["mnistm"])
    shapes = {name: dataset[name].x.shape for name in dataset.names}
    n = TRAIN + TEST
    assert shapes == {name: (n - 2 * (name == "mnistm"), 3, 28, 28) for name in dataset.names}
    assert_array_equal(dataset["mnist"].x[:, 0], digits(published)["mnist"].x[:, 0])
    assert_array_equal(dataset["mnist"].x[:, 0], dataset["mnist"].x[:, 2])
    dataset.split_roles()


def test_mnistm_is_channels_first(published: Path) -> None:
    folder = published / "digits"
    image = digits_files.load_mnistm(folder)["x_test"][3]
    dataset = digits(published, target=["mnistm"], size=32)
    assert_array_equal(dataset["mnistm"].x[TRAIN - 1 + 3], image.transpose(2, 0, 1))


def test_mnistm_is_the_same_stored_or_rebuilt(published: Path) -> None:
    folder = published / "digits"
    rebuilt = digits(published, target=["mnistm"])
    before = rebuilt["mnistm"]
    assert [file.name for file in rebuilt.files("mnistm")] == ["mnist.npz", PHOTOS, RECIPE]
    digits_files.prepare_mnistm(folder, None)
    (folder / PHOTOS).unlink()
    (folder / RECIPE).unlink()
    stored = digits(published, target=["mnistm"])
    assert stored.files("mnistm") == (folder / STORED,)
    assert_array_equal(stored["mnistm"].x, before.x)
    assert_array_equal(stored["mnistm"].y, before.y)


def test_mnistm_that_is_not_the_published_one_is_refused(data_dir: Path) -> None:
    # these small sets do not have the published hash
    with pytest.raises(InputError, match=r"should be 3c689850.*libjpeg-turbo"):
        digits(data_dir, target=["mnistm"]).split_roles()
    arrays = small(32, 4) | {"recipe": np.array("original")}
    digits_files.save_arrays(data_dir / "digits" / STORED, arrays)
    with pytest.raises(InputError, match=r"mnistm.npz is not mnistm as published: .* 3c689850"):
        digits(data_dir, target=["mnistm"]).split_roles()


def test_a_fresh_draw_needs_no_hash_and_no_recipe(data_dir: Path) -> None:
    (data_dir / "digits" / RECIPE).unlink()
    file = digits_files.prepare_mnistm(data_dir / "digits", 1)
    with np.load(file) as arrays:
        assert str(arrays["recipe"]) == "seed 1"
    assert digits(data_dir, target=["mnistm"])["mnistm"].x.shape == (TRAIN + TEST, 3, 28, 28)
    assert digits_files.prepare_mnistm(data_dir / "digits", 1) == file
    with pytest.raises(InputError, match=r"recipe: seed 1; wanted: original.*remove it first"):
        digits_files.prepare_mnistm(data_dir / "digits", None)


def test_one_message_names_everything_that_is_missing(tmp_path: Path) -> None:
    dataset = digits(tmp_path, source=["mnist", "usps"], target=["mnistm"])
    with pytest.raises(InputError) as refused:
        dataset.split_roles()
    message = str(refused.value)
    for name, published in FILES.items():
        facts = f"{published.size} bytes, sha256 {published.sha256}"
        assert message.count(f"  {name} ({facts})") == 1
        assert published.what in message
    for part in (
        f"missing in {tmp_path / 'digits'}:",
        f"scripts/prepare_digits.py --data-dir {tmp_path}",
        "dataset.download=true",
        "--mnistm 1",
        "point dataset.data_dir or DA_DATA at the folder that holds digits/",
    ):
        assert part in message
    with pytest.raises(InputError) as refused:
        dataset.fingerprint("mnist")
    assert str(refused.value) == message


def test_what_is_there_is_not_called_missing(data_dir: Path) -> None:
    (data_dir / "digits" / RECIPE).unlink()
    with pytest.raises(InputError) as refused:
        digits(data_dir, target=["mnistm"], download=True)["mnist"]
    assert f"  {RECIPE} (" in str(refused.value)
    assert not any(f"  {name} (" in str(refused.value) for name in FILES if name != RECIPE)
    digits(data_dir).split_roles()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[200:210] = bytes(10)
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def not_an_archive(file: Path) -> None:
    file.write_text("<html>not found</html>")


def one_array(file: Path) -> None:
    with file.open("wb") as stream:
        np.save(stream, np.zeros(3))


@pytest.mark.parametrize("damage", [truncate, flip, empty, not_an_archive, one_array])
@pytest.mark.parametrize("name", ["usps.npz", PHOTOS, RECIPE, STORED])
def test_damaged_files_are_named(
    name: str, damage: Callable[[Path], None], published: Path
) -> None:
    file = published / "digits" / name
    if name == STORED:
        digits_files.prepare_mnistm(file.parent, None)
    damage(file)
    with pytest.raises(InputError, match=f"{name} cannot be read .*damaged or truncated: fetch"):
        digits(published, source=["usps"], target=["mnistm"]).split_roles()


def test_another_archive_is_named(data_dir: Path) -> None:
    file = data_dir / "digits" / "usps.npz"
    digits_files.save_arrays(file, {"images": np.zeros(3)})
    with pytest.raises(InputError, match=r"usps.npz has the arrays images, but not x_train"):
        digits(data_dir)["usps"]


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_a_changed_value_is_refused_with_both_hashes(
    key: str, data_dir: Path, twins: dict[str, dict[str, Array]]
) -> None:
    changed = {name: array.copy() for name, array in twins["usps"].items()}
    changed[key].flat[5] ^= 1
    digits_files.save_arrays(data_dir / "digits" / "usps.npz", changed)
    expected, actual = hashes(twins["usps"])[key], hashes(changed)[key]
    with pytest.raises(
        InputError, match=f"usps.npz is not usps.*{key} should be {expected}, but it is {actual}"
    ):
        digits(data_dir)["usps"]


def test_photographs_must_be_there_and_large_enough(data_dir: Path) -> None:
    file = data_dir / "digits" / PHOTOS
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(InputError, match="holds 0 JPEG files; it should be a zip of the 200"):
        digits_files.read_photos(file)
    with zipfile.ZipFile(file, "w") as archive, archive.open("a.jpg", "w") as stream:
        Image.new("L", (40, 31)).save(stream, "JPEG")
    with pytest.raises(InputError, match="holds 1 JPEG files, some below 32x32"):
        digits_files.read_photos(file)


def test_an_interrupted_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "usps.npz"
    digits_files.save_arrays(file, {"a": np.zeros(3)})
    before = file.read_bytes()

    def full(stream: Any, **arrays: Array) -> None:
        stream.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(InputError, match=r"cannot be written \(no space left"):
        digits_files.save_arrays(file, {"a": np.ones(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["usps.npz"]
    assert file.read_bytes() == before


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None: ...


def as_idx(array: Array) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def as_libsvm(x: Array, y: Array) -> bytes:
    lines = []
    for image, label in zip(x.reshape(len(x), -1), y, strict=True):
        # half a grey level up: the conversion truncates
        values = (image + 0.5) / 255 * 2 - 1
        lines.append(f"{label + 1} " + " ".join(f"{i}:{v:.6f}" for i, v in enumerate(values, 1)))
    return bz2.compress("\n".join(lines).encode())


@pytest.fixture
def mirror(
    tmp_path: Path, twins: dict[str, dict[str, Array]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The official addresses, with the small sets in place of the published ones."""
    from torchvision import datasets

    served = tmp_path / "served"
    served.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    address = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def put(name: str, content: bytes) -> tuple[str, str]:
        (served / name).write_bytes(content)
        return name, hashlib.md5(content, usedforsecurity=False).hexdigest()

    mnist, usps = twins["mnist"], twins["usps"]
    resources = [
        put("train-images-idx3-ubyte.gz", as_idx(mnist["x_train"])),
        put("train-labels-idx1-ubyte.gz", as_idx(mnist["y_train"])),
        put("t10k-images-idx3-ubyte.gz", as_idx(mnist["x_test"])),
        put("t10k-labels-idx1-ubyte.gz", as_idx(mnist["y_test"])),
    ]
    monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    splits = {}
    for part, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        content = as_libsvm(usps[f"x_{part}"], usps[f"y_{part}"])
        splits[part] = [address + name, *put(name, content)]
    monkeypatch.setattr(datasets.USPS, "split_list", splits)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def test_missing_sets_are_downloaded(
    mirror: Path, tmp_path: Path, twins: dict[str, dict[str, Array]]
) -> None:
    dataset = digits(tmp_path / "new", download=True)
    dataset.split_roles()
    for name, arrays in twins.items():
        with np.load(tmp_path / "new" / "digits" / f"{name}.npz") as written:
            for key, array in arrays.items():
                assert written[key].dtype == array.dtype
                assert_array_equal(written[key], array)
    assert len(dataset.fingerprint("usps")) == 16
    assert (tmp_path / "new" / "digits" / "raw" / "usps.bz2").is_file()


def test_nothing_is_downloaded_unasked(mirror: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are missing in"):
        digits(tmp_path / "new").split_roles()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte.gz", "usps.bz2"])
def test_a_download_that_came_damaged_is_refused(name: str, mirror: Path, tmp_path: Path) -> None:
    truncate(mirror / name)
    with pytest.raises(InputError, match=r"could not be downloaded to .*raw"):
        digits(tmp_path / "new", download=True).split_roles()
    wanted = "usps" if name.startswith("usps") else "mnist"
    assert not (tmp_path / "new" / "digits" / f"{wanted}.npz").exists()


def test_a_download_of_other_data_is_refused(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(digits_files.ARRAYS, "mnist", hashes(small(28, 9)))
    with pytest.raises(InputError, match=r"mnist\.npz is not mnist as published"):
        digits(tmp_path / "new", download=True).split_roles()
    assert not (tmp_path / "new" / "digits" / "mnist.npz").exists()


def test_the_script_prepares_everything(
    mirror: Path, data_dir: Path, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data_dir / "digits"
    (folder / "mnist.npz").unlink()
    (folder / "usps.npz").unlink()
    assert prepare("--data-dir", str(data_dir)) == 0
    out = capsys.readouterr().out
    for name in ("mnist", "usps", "mnistm"):
        size = (folder / f"{name}.npz").stat().st_size
        assert f"{name}: {folder / name}.npz ({size} bytes)" in out
    digits(data_dir, target=None).split_roles()


def test_the_script_draws_by_seed_and_skips(data_dir: Path) -> None:
    assert prepare("--data-dir", str(data_dir), "--mnistm", "skip") == 0
    assert not (data_dir / "digits" / STORED).exists()
    assert prepare("--data-dir", str(data_dir), "--mnistm", "5") == 0
    with np.load(data_dir / "digits" / STORED) as arrays:
        assert str(arrays["recipe"]) == "seed 5"


def test_the_script_reads_da_data_and_exits_with_2(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DA_DATA", str(data_dir))
    (data_dir / "digits" / RECIPE).unlink()
    assert prepare() == 2
    assert f"error: files of the whole digits are missing in {data_dir}" in (
        capsys.readouterr().err
    )
    with pytest.raises(SystemExit) as stopped:
        prepare("--mnistm", "fresh")
    assert stopped.value.code == 2
    assert "'fresh' is none of: original, skip, or a seed" in capsys.readouterr().err


@pytest.mark.slow
@NEEDS_REAL
@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("mnist", 60000, 10000), ("usps", 7291, 2007), ("mnistm", 59001, 9001)],
)
def test_the_whole_sets_are_read_and_verified(name: str, train: int, test: int) -> None:
    other = "usps" if name != "usps" else "mnist"
    x, y, tested, _, _ = digits(REAL or "", source=[other], target=[name])[name]
    assert x.shape == (train + test, 3 if name == "mnistm" else 1, 28, 28)
    assert tested is not None
    assert int(tested.sum()) == test
    assert len(y) == train + test
    if name == "mnist":
        assert x[:train].mean() / 255 == pytest.approx(0.13066, abs=1e-5)


@NEEDS_REAL
@pytest.mark.skipif(sys.version_info < (3, 11, 4), reason="zipfile wrote another version of itself")
def test_a_stored_set_has_the_bytes_of_the_published_file(tmp_path: Path) -> None:
    # so a downloaded set and a copied one have the same fingerprint
    with np.load(Path(REAL or "") / "digits" / "usps.npz") as arrays:
        digits_files.save_arrays(tmp_path / "usps.npz", dict(arrays))
    content = (tmp_path / "usps.npz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == FILES["usps.npz"].sha256


def coloured(folder: Path, name: str, seed: int) -> dict[str, Array]:
    """Writes a small SVHN or SynDigits, its images last and the digit 0 as 10."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for remote, part, n in zip(
        digits_files.COLOURED[name], ("train", "test"), (TRAIN, TEST), strict=True
    ):
        x = random.integers(0, 256, (n, 32, 32, 3), np.uint8)
        y = np.arange(n) % 10
        file = folder / name / remote["name"]
        file.parent.mkdir(parents=True, exist_ok=True)
        savemat(file, {"X": x.transpose(1, 2, 3, 0), "y": np.where(y == 0, 10, y)[:, None]})
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    return arrays


@pytest.mark.parametrize("name", ["svhn", "syn_digits"])
def test_digits_in_colour_are_read_as_published(name: str, data_dir: Path) -> None:
    arrays = coloured(data_dir / "digits", name, 4)
    data = digits(data_dir, subset="five", size=32, source=[name], target=["mnist"])
    x, y, test, _, _ = data[name]
    assert_array_equal(x[:TRAIN], arrays["x_train"].transpose(0, 3, 1, 2))
    assert_array_equal(y, np.concatenate([arrays["y_train"], arrays["y_test"]]))
    assert test is not None
    assert test.sum() == TEST
    assert data["mnist"].x.shape[1:] == (3, 32, 32)
    truncate(data.files(name)[0])
    with pytest.raises(InputError, match=r"train_32x32\.mat cannot be read"):
        digits(data_dir, subset="five", source=[name], target=["mnist"])[name]


def test_digits_in_colour_that_are_missing_are_named(data_dir: Path) -> None:
    with pytest.raises(InputError) as error:
        digits(data_dir, subset="five", source=["svhn"], target=["syn_digits"])["svhn"]
    for part in (
        "svhn/train_32x32.mat (182040794 bytes, md5 e26d",
        "housenumbers/",
        "SynDigits.zip",
    ):
        assert part in str(error.value)
    with pytest.raises(InputError, match="dataset=digits_five has it"):
        digits(data_dir, subset="full", source=["svhn"])


def test_svhn_is_downloaded_and_a_mirror_is_asked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = coloured(tmp_path / "elsewhere", "svhn", 5)
    near = tmp_path / "elsewhere" / "svhn"
    for remote in digits_files.COLOURED["svhn"]:
        md5 = hashlib.md5((near / remote["name"]).read_bytes(), usedforsecurity=False).hexdigest()
        monkeypatch.setitem(remote, "hash", f"md5:{md5}")
        monkeypatch.setitem(remote, "size", None)
    roles: dict[str, Any] = {"subset": "five", "source": ["svhn"], "target": ["svhn"]}
    roles |= {"download": True, "mirrors": [near.as_uri()], "size": 32, "source": []}
    x = digits(tmp_path / "new", **roles)["svhn"].x
    assert_array_equal(x[:TRAIN], arrays["x_train"].transpose(0, 3, 1, 2))
