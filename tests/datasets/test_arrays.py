"""Arrays as they come: without labels, on a scale, cut into windows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da_framework.core.errors import InputError
from da_framework.core.labels import UNLABELLED
from da_framework.datasets.arrays import Arrays
from da_framework.datasets.inference import open_new_samples
from tests.datasets.roles import TRANSDUCTIVE, own_keys

ROLES: dict[str, Any] = {**TRANSDUCTIVE, "source": ["s"], "target": ["t"]}
ARRAYS = own_keys("arrays")
Y = np.arange(6) % 2


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(3, 5, size=shape).astype(np.float32)


def arrays(root: Path, s: dict[str, Any], t: dict[str, Any], **keys: Any) -> Arrays:
    np.savez(root / "s.npz", **s)
    np.savez(root / "t.npz", **t)
    return Arrays(root=str(root), **{**ARRAYS, **ROLES, **keys})


@pytest.mark.parametrize("y", [None, np.full(6, -1), np.full(6, np.nan), np.full(6, "")])
def test_a_target_may_have_no_labels(tmp_path: Path, y: Any) -> None:
    target = {"x": numbers(6, 3)} | ({} if y is None else {"y": y})
    data = arrays(tmp_path, {"x": numbers(6, 3), "y": Y}, target)
    assert data.classes == ("0", "1")
    assert data["t"].y.tolist() == [UNLABELLED] * 6
    assert len(data.split_roles().train["target"][0].rows) == 6


def test_some_labels_may_be_there(tmp_path: Path) -> None:
    target = {"x": numbers(6, 3), "y": np.array([0.0, np.nan, 1.0, np.nan, 0.0, 1.0])}
    data = arrays(tmp_path, {"x": numbers(6, 3), "y": Y}, target)
    assert data["t"].y.tolist() == [0, -1, 1, -1, 0, 1]


def test_a_part_without_labels_is_not_labelled(tmp_path: Path) -> None:
    target = {"x_train": numbers(4, 3), "x_test": numbers(2, 3), "y_test": np.array([1, 0])}
    data = arrays(tmp_path, {"x": numbers(6, 3), "y": Y}, target)
    assert data["t"].y.tolist() == [-1] * 4 + [1, 0]


def test_files_may_lack_labels_too(tmp_path: Path) -> None:
    for name in "st":
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", numbers(6, 3))
    np.save(tmp_path / "s" / "y.npy", Y)
    data = Arrays(root=str(tmp_path), **ARRAYS, **ROLES)
    assert data["t"].y.tolist() == [UNLABELLED] * 6
    (tmp_path / "s" / "y.npy").unlink()
    with pytest.raises(InputError, match="the source s has 6 samples without a label"):
        Arrays(root=str(tmp_path), **ARRAYS, **ROLES)


@pytest.mark.parametrize("shape", [(3,), (2, 5), (3, 4, 4)])
@pytest.mark.parametrize("scale", ["source", "domain"])
def test_numbers_are_scaled_by_channel(tmp_path: Path, shape: tuple[int, ...], scale: str) -> None:
    s, t = numbers(6, *shape), numbers(6, *shape, seed=1)
    data = arrays(tmp_path, {"x": s, "y": Y}, {"x": t, "y": Y}, scale=scale)
    fitted = np.moveaxis(s if scale == "source" else t, 1, -1).reshape(-1, shape[0])
    wide = (-1, *(1 for _ in shape[1:]))
    mean, deviation = (np.reshape(own, wide) for own in (fitted.mean(0), fitted.std(0)))
    np.testing.assert_allclose(data["t"].x, (t - mean) / deviation, rtol=1e-4, atol=1e-5)
    config = {"_target_": "da_framework.datasets.arrays.Arrays", "root": str(tmp_path)}
    np.save(tmp_path / "new.npy", t)
    reader = open_new_samples(config, {"root": str(tmp_path / "new.npy")}, data.inputs("t"))
    np.testing.assert_array_equal(next(iter(reader.blocks()))[1], data["t"].x)


def test_a_constant_number_and_bytes_keep_their_scale(tmp_path: Path) -> None:
    x = numbers(6, 3)
    x[:, 1] = 7
    data = arrays(tmp_path, {"x": x, "y": Y}, {"x": x + 1, "y": Y}, scale="source")
    np.testing.assert_array_equal(data["t"].x[:, 1], 1)
    images = {"x": np.zeros((6, 3, 4, 4), np.uint8), "y": Y}
    with pytest.raises(InputError, match=r"images in bytes.*dataset\.scale=none"):
        arrays(tmp_path, images, images, scale="source")["s"]


# series


def series(lengths: list[int]) -> Any:
    x = np.full((len(lengths), 2, max(lengths)), np.nan, np.float32)
    for row, length in enumerate(lengths):
        x[row, :, :length] = 100 * row + np.arange(length)
    return x


@pytest.mark.parametrize(("stride", "counts"), [(None, [2, 1]), (2, [3, 1]), (1, [5, 2])])
def test_series_are_cut_into_windows(tmp_path: Path, stride: int | None, counts: list[int]) -> None:
    held = {"x": series([8, 5]), "y": np.array([0, 1])}
    data = arrays(tmp_path, held, held, window=4, stride=stride)
    step = stride or 4
    expected = [100 * row + step * k for row, count in enumerate(counts) for k in range(count)]
    x = data["s"].x
    assert x.shape == (sum(counts), 2, 4)
    assert x[:, 0, 0].tolist() == expected
    np.testing.assert_array_equal(x - x[:, :, :1], np.broadcast_to(np.arange(4), x.shape))
    assert data["s"].y.tolist() == [0] * counts[0] + [1] * counts[1]


def test_the_length_may_be_given(tmp_path: Path) -> None:
    held = {"x": numbers(2, 2, 8), "y": np.array([0, 1]), "length": np.array([8, 5])}
    assert len(arrays(tmp_path, held, held, window=4)["s"].y) == 3


def test_windows_of_a_series_are_in_one_part(tmp_path: Path) -> None:
    held = {"x": numbers(20, 2, 12), "y": np.arange(20) % 2}
    data = arrays(tmp_path, held, held, window=3, val=0.3, test=0.4, protocol="inductive")
    split = data.split_roles()
    group = data["s"].group
    assert group is not None
    parts = [split.train["source"], split.validation["source"]]
    target = [split.train["target"], split.validation["target"], split.test]
    for side in (parts, target):
        held_series = [set(group[rows[0].rows]) for rows in side]
        assert sum(map(len, held_series)) == len(set().union(*held_series)) == 20
        assert min(map(len, held_series)) > 0


def test_series_of_unequal_length_are_padded_to_the_longest_in_use(tmp_path: Path) -> None:
    s, t = {"x": series([8, 5]), "y": Y[:2]}, {"x": series([3, 9, 4]), "y": Y[:3]}
    data = arrays(tmp_path, s, t)
    assert data.padded
    assert (data["s"].x.shape, data["t"].x.shape) == ((2, 2, 9), (3, 2, 9))
    np.testing.assert_array_equal(data["s"].x[:, :, :8], s["x"])
    assert np.isnan(data["s"].x[:, :, 8]).all()
    assert data.inputs("t")["padded"] is True
    reports = [call(False) for call in data.inspections("s")]
    assert [report.broken for report in reports] == [None, None]


def test_domains_of_other_lengths_are_padded_too(tmp_path: Path) -> None:
    data = arrays(tmp_path, {"x": numbers(6, 2, 8), "y": Y}, {"x": numbers(6, 2, 5), "y": Y})
    assert data.padded
    assert data["s"].x.shape == data["t"].x.shape == (6, 2, 8)
    assert np.isnan(data["t"].x[:, :, 5:]).all()


def test_what_no_series_has_is_left_out(tmp_path: Path) -> None:
    held = {"x": series([5, 5, 8])[:2], "y": Y[:2]}
    data = arrays(tmp_path, held, held)
    assert not data.padded
    assert data["s"].x.shape == (2, 2, 5)
    assert "padded" not in data.inputs("t")


@pytest.mark.parametrize("scale", ["source", "domain"])
def test_the_scale_is_of_the_steps_there_are(tmp_path: Path, scale: str) -> None:
    s, t = series([8, 5]), 3 * series([2, 9])
    data = arrays(tmp_path, {"x": s, "y": Y[:2]}, {"x": t, "y": Y[:2]}, scale=scale)
    fitted = {"source": s, "domain": t}[scale]
    mean, deviation = (own(fitted, axis=(0, 2))[:, None] for own in (np.nanmean, np.nanstd))
    expected = (t - mean) / deviation
    np.testing.assert_allclose(data["t"].x[:, :, :9], expected, rtol=1e-5, atol=1e-6)


def test_what_stands_behind_a_given_length_is_not_read(tmp_path: Path) -> None:
    x, length = numbers(2, 2, 8), np.array([8, 5])
    held = {"x": x, "y": Y[:2], "length": length}
    data = arrays(tmp_path, held, held, scale="source")
    other = held | {"x": np.where(np.arange(8) >= length[:, None, None], 1e9, x).astype("f4")}
    again = arrays(tmp_path, other, other, scale="source")
    np.testing.assert_array_equal(data["t"].x, again["t"].x)
    assert np.isnan(data["t"].x[1, :, 5:]).all()


def test_the_length_may_lie_beside_mapped_series(tmp_path: Path) -> None:
    for name in "st":
        (tmp_path / name).mkdir()
        held = {"x": numbers(2, 2, 8), "y": Y[:2], "length": np.array([8, 5])}
        for part, values in held.items():
            np.save(tmp_path / name / f"{part}.npy", values)
    data = Arrays(root=str(tmp_path), **ARRAYS, **ROLES)
    assert np.isnan(data["t"].x[1, :, 5:]).all()
    config = {"_target_": "da_framework.datasets.arrays.Arrays", "window": None, "stride": None}
    reader = open_new_samples(config, {"root": str(tmp_path / "t")}, data.inputs("t"))
    ((names, read),) = reader.blocks()
    assert names == [("x.npy", "0"), ("x.npy", "1")]
    np.testing.assert_array_equal(read, data["t"].x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": series([8, 0])}, r"s\.npz: 1 series have no step, the first is row 1"),
        ({"length": np.array([8, 0])}, "1 series have no step"),
        ({"length": np.array([8, 9])}, "a series of 9 steps, but x holds 8"),
        ({"length": np.array([8])}, r"length has the shape \(1,\)"),
        ({"x": numbers(2, 8), "length": np.array([8, 5])}, "it is of series"),
    ],
)
def test_ends_that_cannot_be_are_said(tmp_path: Path, change: Any, message: str) -> None:
    held = {"x": series([8, 5]), "y": Y[:2]}
    with pytest.raises(InputError, match=message):
        arrays(tmp_path, held | change, held)["s"]


def test_a_hole_within_a_series_is_no_end(tmp_path: Path) -> None:
    x = series([8, 5])
    x[1, :, 2] = np.nan
    x[0, 1, 7] = np.nan
    held = {"x": series([8, 5]), "y": Y[:2]}
    with pytest.raises(InputError, match=r"row 0 of s is NaN or infinite \(2 such rows\)"):
        arrays(tmp_path, held | {"x": x}, held, scale="source")["s"]


def test_new_series_are_padded_as_the_run_s(tmp_path: Path) -> None:
    held = {"x": series([8, 5]), "y": Y[:2]}
    data = arrays(tmp_path, held, held, scale="source")
    config = {"_target_": "da_framework.datasets.arrays.Arrays", "window": None, "stride": None}
    for steps in (5, 8, 11):
        x = np.full((2, 2, max(steps, 8)), 7, np.float32)
        x[:, :, :8] = series([8, 5])
        x = x[:, :, :steps]
        length = np.minimum([8, 5], steps)
        np.savez(tmp_path / "new.npz", x=x, length=length)
        reader = open_new_samples(config, {"root": str(tmp_path / "new.npz")}, data.inputs("t"))
        read = next(iter(reader.blocks()))[1]
        assert read.shape == (2, 2, max(steps, 8))
        known = min(steps, 8)
        np.testing.assert_array_equal(read[:, :, :known], data["t"].x[:, :, :known])
        assert np.isnan(read[:, :, known:]).all()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"window": 6}, r"1 series are shorter than dataset\.window=6, the shortest is of 5"),
        ({"stride": 2}, r"dataset\.stride=2 is of windows"),
    ],
)
def test_lengths_that_cannot_be_are_said(tmp_path: Path, keys: Any, message: str) -> None:
    held = {"x": series([8, 5]), "y": np.array([0, 1])}
    with pytest.raises(InputError, match=message):
        arrays(tmp_path, held, held, **keys)


def test_flat_samples_are_no_series(tmp_path: Path) -> None:
    held = {"x": numbers(6, 8), "y": Y}
    with pytest.raises(InputError, match=r"dataset\.shape=\[channels,time\] says it"):
        arrays(tmp_path, held, held, window=4)


def test_python_objects_lead_to_nan(tmp_path: Path) -> None:
    x = np.empty(2, dtype=object)
    x[:] = [np.ones((2, 3)), np.ones((2, 5))]
    with pytest.raises(InputError, match=r"Python objects.*fill these up with NaN"):
        arrays(tmp_path, {"x": x, "y": Y[:2]}, {"x": numbers(2, 2, 3), "y": Y[:2]})


def test_a_run_of_windows_cuts_new_series(tmp_path: Path) -> None:
    held = {"x": numbers(2, 2, 8), "y": np.array([0, 1])}
    data = arrays(tmp_path, held, held, window=4)
    config = {"_target_": "da_framework.datasets.arrays.Arrays", "window": 4, "stride": None}
    np.save(tmp_path / "new.npy", held["x"])
    reader = open_new_samples(config, {"root": str(tmp_path / "new.npy")}, data.inputs("t"))
    np.testing.assert_array_equal(next(iter(reader.blocks()))[1], data["t"].x)


DIMENSIONS = st.lists(st.integers(0, 4), max_size=4).map(tuple)
ANY = st.one_of(
    DIMENSIONS.flatmap(
        lambda shape: st.sampled_from(["f4", "f8", "i8", "u1", "?", "S2", "U2", "M8[D]", "c8"]).map(
            lambda kind: np.zeros(shape, kind)
        )
    ),
    DIMENSIONS.map(lambda shape: np.full(shape, np.nan)),
    DIMENSIONS.map(lambda shape: np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3 - 1.0),
)


@settings(max_examples=300, deadline=None)
@given(
    held=st.dictionaries(
        st.sampled_from(["x", "y", "test", "length", "x_train", "y_train", "x_test", "y_test"]),
        ANY,
        max_size=5,
    ),
    keys=st.fixed_dictionaries(
        {},
        optional={
            "scale": st.sampled_from(["source", "domain"]),
            "window": st.integers(1, 3),
            "shape": st.sampled_from([[2, 2], [4], [1, 3, 1]]),
        },
    ),
    side=st.sampled_from("st"),
)
def test_any_arrays_are_read_or_refused_in_words(
    tmp_path_factory: Any, held: dict[str, Any], keys: dict[str, Any], side: str
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    sound = {"x": numbers(6, 2, 4), "y": Y}
    for name in "st":
        np.savez(root / f"{name}.npz", **(held if name == side else sound))
    try:
        data = Arrays(root=str(root), **(ARRAYS | ROLES | keys))
        domains = [data[name] for name in "st"]
    except InputError:
        return
    for domain in domains:
        assert len(domain.x) == len(domain.y)
        assert data.padded or np.isfinite(domain.x).all()


def test_without_a_source_the_scale_is_that_of_the_run_gone_on_from(tmp_path: Path) -> None:
    for shape in ((3,), (2, 12)):
        sides = {"x": numbers(6, *shape), "y": Y}, {"x": 9 * numbers(6, *shape, seed=1)}
        for scale in ("source", "domain", "none"):
            first = arrays(tmp_path, *sides, scale=scale)
            data = arrays(tmp_path, *sides, scale="source", source=[])
            data.continue_from(first.inputs("t"))
            np.testing.assert_array_equal(data["t"].x, first["t"].x)
    data.continue_from({"scale": "source", "mean": [0.0], "std": [1.0]})  # of other channels
    assert abs(data["t"].x.mean()) < 1e-5


def test_images_with_channels_last_are_not_taken_for_others(tmp_path: Path) -> None:
    images = np.zeros((6, 8, 9, 3), np.uint8)
    with pytest.raises(InputError, match=r"s.npz: .* \(8, 9, 3\), channels last; .*transpose"):
        arrays(tmp_path, {"x": images, "y": Y}, {"x": images})


def test_bytes_and_numbers_are_not_mixed(tmp_path: Path) -> None:
    data = arrays(tmp_path, {"x": np.zeros((6, 3), np.uint8), "y": Y}, {"x": numbers(6, 3)})
    assert data["s"].x.dtype == np.uint8
    with pytest.raises(InputError, match="inputs of t are float32, those of s uint8"):
        data["t"]
