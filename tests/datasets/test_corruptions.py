"""The fifteen corruptions, held against their published definitions on small images."""

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from da_framework.core.errors import InputError
from da_framework.datasets.corruptions import (
    CORRUPTIONS,
    Picture,
    blur,
    check_corruptions,
    corrupt,
    corrupt_images,
    find_range,
    plasma,
    soft_disk,
    trail,
    zoom_in,
)

SMOOTH = ("gaussian_noise", "shot_noise", "impulse_noise")
SHAPES = [(28, 28, 1), (32, 32, 3), (17, 40, 3), (5, 9, 1), (70, 66, 3)]


def picture(shape: tuple[int, ...] = (32, 32, 3), *, seed: int = 0) -> Picture:
    noise = np.random.default_rng(seed).normal(size=shape)
    field = gaussian_filter(noise, (2, 2, 0))
    return np.asarray(np.clip(0.5 + field / (4 * field.std()), 0, 1))


def flat(value: float, shape: tuple[int, ...] = (40, 40, 3)) -> Picture:
    return np.full(shape, value)


def draw(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def corrupted(name: str, x: Picture, severity: int = 3, seed: int = 1) -> Picture:
    return corrupt(x, name, severity, draw(seed))


def test_they_are_the_fifteen_in_five_severities() -> None:
    assert list(CORRUPTIONS) == [
        *("gaussian_noise", "shot_noise", "impulse_noise"),
        *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        *("snow", "frost", "fog", "brightness"),
        *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    ]
    for _, small, large in CORRUPTIONS.values():
        assert len(small) == len(large) == 5


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [
        ("gaussian_noise", (0.04, 0.10), (0.08, 0.38)),
        ("shot_noise", (500, 50), (60, 3)),
        ("impulse_noise", (0.01, 0.07), (0.03, 0.27)),
        ("defocus_blur", ((0.3, 0.4), (1.5, 0.1)), ((3, 0.1), (10, 0.5))),
        ("glass_blur", ((0.05, 1, 1), (0.4, 1, 2)), ((0.7, 1, 2), (1.5, 4, 2))),
        ("motion_blur", ((6, 1), (9, 2.5)), ((10, 3), (20, 15))),
        ("snow", ((0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8)), None),
        ("frost", ((1, 0.2), (0.75, 0.45)), ((1, 0.4), (0.6, 0.75))),
        ("fog", ((0.2, 3), (1.5, 1.75)), ((1.5, 2), (3, 1.4))),
        ("brightness", (0.05, 0.3), (0.1, 0.5)),
        ("contrast", (0.75, 0.15), (0.4, 0.05)),
        ("pixelate", (0.95, 0.65), (0.6, 0.25)),
        ("jpeg_compression", (80, 40), (25, 7)),
    ],
)
def test_parameters_are_the_published_ones(name: str, small: Any, large: Any) -> None:
    """Of the first and the last severity, of CIFAR-10-C and of ImageNet-C."""
    _, ours, theirs = CORRUPTIONS[name]
    assert (ours[0], ours[-1]) == small
    assert large is None or (theirs[0], theirs[-1]) == large


def test_zoom_factors_are_the_published_ones() -> None:
    _, small, large = CORRUPTIONS["zoom_blur"]
    np.testing.assert_allclose(small[4], np.linspace(1, 1.25, 26))
    np.testing.assert_allclose(large[4], np.linspace(1, 1.30, 11))


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_any_size_stay_images(name: str, shape: tuple[int, ...]) -> None:
    x = picture(shape)
    for severity in (1, 5):
        y = corrupted(name, x, severity)
        assert y.shape == shape
        assert np.isfinite(y).all()
        assert y.min() >= -1e-12
        assert y.max() <= 1 + 1e-12


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_it_is_a_function_of_the_seed(name: str) -> None:
    x = picture()
    assert (corrupted(name, x) == corrupted(name, x)).all()
    fixed = name in (
        *("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"),
    )
    assert (corrupted(name, x) == corrupted(name, x, seed=2)).all() == fixed


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_more_severe_is_further_away(name: str) -> None:
    x = picture()
    gap = [np.abs(corrupted(name, x, s) - x).mean() for s in (1, 5)]
    if name != "elastic_transform":  # whose severities change in kind
        assert gap[0] < gap[1]
    assert gap[0] > 0


def test_the_same_image_is_the_same_in_any_batch() -> None:
    x = (255 * picture()).astype(np.uint8).transpose(2, 0, 1)
    many = np.stack([x, 255 - x, x])
    names, severities = ["fog", "snow", "gaussian_noise"], [1, 0, 5]
    whole = corrupt_images(many, names, severities, [7, 8, 9])
    for number in range(3):
        alone = corrupt_images(many[[number]], [names[number]], [severities[number]], [7 + number])
        assert (alone[0] == whole[number]).all()
    assert (whole[1] == many[1]).all()
    assert whole.dtype == np.uint8
    assert (many[0] == x).all()


# noise


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_gaussian_noise_has_its_deviation(severity: int) -> None:
    noise = corrupted("gaussian_noise", flat(0.5, (60, 60, 3)), severity) - 0.5
    scale = CORRUPTIONS["gaussian_noise"][1][severity - 1]
    assert noise.std() == pytest.approx(scale, rel=0.05)
    assert abs(noise.mean()) < 0.003


@pytest.mark.parametrize("value", [0.2, 0.5])
def test_shot_noise_has_the_variance_of_photons(value: float) -> None:
    noisy = corrupted("shot_noise", flat(value, (60, 60, 3)), 5)
    assert noisy.mean() == pytest.approx(value, abs=0.005)
    assert noisy.var() == pytest.approx(value / 50, rel=0.06)
    np.testing.assert_allclose(noisy * 50, np.rint(noisy * 50), atol=1e-9)


@pytest.mark.parametrize("severity", [1, 5])
def test_impulse_noise_strikes_its_share(severity: int) -> None:
    noisy = corrupted("impulse_noise", flat(0.5, (63, 63, 3)), severity)
    share = CORRUPTIONS["impulse_noise"][1][severity - 1]
    assert (noisy != 0.5).mean() == pytest.approx(share, rel=0.15)
    assert {*np.unique(noisy)} == {0.0, 0.5, 1.0}
    assert (noisy == 1).sum() == pytest.approx((noisy == 0).sum(), rel=0.3)


# blur


@pytest.mark.parametrize(
    "name", ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "pixelate"]
)
def test_a_flat_image_has_nothing_to_blur(name: str) -> None:
    for shape in ((32, 32, 1), (64, 64, 3)):
        np.testing.assert_allclose(corrupted(name, flat(0.3, shape), 4), 0.3, atol=1e-6)


def test_a_disk_has_its_area_and_no_direction() -> None:
    for radius, soft in ((1.5, 0.1), (3, 0.1), (10, 0.5)):
        disk = soft_disk(radius, soft)
        assert disk.sum() == pytest.approx(1)
        np.testing.assert_allclose(disk, disk.T)
        np.testing.assert_allclose(disk, disk[::-1])
    sharp = soft_disk(3, 1e-3)
    assert (sharp > 0).sum() == 29  # points of the grid within a radius of 3
    np.testing.assert_allclose(sharp[sharp > 0], 1 / 29)
    across = np.arange(len(disk)) - len(disk) // 2
    spread = (disk.sum(0) * across**2).sum()  # of a disk, a quarter of the radius squared
    assert spread == pytest.approx(10**2 / 4, rel=0.05)


def test_a_point_out_of_focus_is_the_disk() -> None:
    x = np.zeros((70, 70, 1))
    x[35, 35] = 1
    y = corrupted("defocus_blur", x, 2)
    disk = soft_disk(4, 0.5)
    np.testing.assert_allclose(y[27:44, 27:44, 0], disk, atol=1e-12)


def test_glass_moves_pixels_no_further_than_its_reach() -> None:
    _, small, _ = CORRUPTIONS["glass_blur"]
    x = np.zeros((32, 32, 1))
    x[16, 16] = 1
    from da_framework.datasets.corruptions import glass_blur

    y = glass_blur(x, (1e-9, 1, 1), draw())
    assert y.sum() == pytest.approx(1)
    assert sorted(np.unique(y)) == [0, 1]
    z = glass_blur(picture(), (1e-9, 2, 3), draw())
    np.testing.assert_allclose(np.sort(z, None), np.sort(picture(), None), atol=1e-12)
    assert small[0] == (0.05, 1, 1)


def test_a_trail_is_a_one_sided_gaussian_along_a_line() -> None:
    x = np.zeros((31, 31, 1))
    x[15, 15] = 1
    weights = np.exp(-(np.arange(13) ** 2) / (2 * 2.0**2))
    weights /= weights.sum()
    right = trail(x, 6, 2.0, 0)
    np.testing.assert_allclose(right[15, 15:2:-1, 0], weights)
    up = trail(x, 6, 2.0, -90)
    np.testing.assert_allclose(up[15:28, 15, 0], weights)
    assert right.sum() == pytest.approx(1)


def test_zooming_in_shows_the_middle() -> None:
    x = np.linspace(0, 1, 41)[:, None, None] * np.ones((41, 41, 1))
    np.testing.assert_allclose(zoom_in(x, 1.0), x, atol=1e-12)
    y = zoom_in(x, 2.0)
    assert y.shape == x.shape
    assert y[20, 20, 0] == pytest.approx(0.5, abs=0.03)
    assert np.diff(y[:, 0, 0]).mean() == pytest.approx(np.diff(x[:, 0, 0]).mean() / 2, rel=0.1)


def test_zoom_blur_is_the_mean_of_the_zooms() -> None:
    x = picture((32, 32, 1))
    factors = CORRUPTIONS["zoom_blur"][1][0]
    expected = np.mean([x, *[zoom_in(x, factor) for factor in factors]], axis=0)
    np.testing.assert_allclose(corrupted("zoom_blur", x, 1), expected)


# weather


def test_fog_lies_between_the_image_and_white() -> None:
    x = picture()
    thick, decay = CORRUPTIONS["fog"][1][2]
    cloud = plasma(32, decay, draw())[..., None]
    np.testing.assert_allclose(
        corrupted("fog", x, 3), (x + thick * cloud) * x.max() / (x.max() + thick)
    )
    assert (corrupted("fog", flat(0.0)) == 0).all()


@pytest.mark.parametrize("decay", [1.5, 3.0])
def test_a_fractal_is_smoother_the_faster_its_detail_decays(decay: float) -> None:
    field = plasma(64, decay, draw())
    assert field.shape == (64, 64)
    assert (field.min(), field.max()) == (0, 1)
    roughness = [np.abs(np.diff(plasma(64, d, draw()), axis=0)).mean() for d in (decay, decay + 1)]
    assert roughness[1] < roughness[0]


def test_brightness_raises_the_value_alone() -> None:
    x = picture() * 0.6
    y = corrupted("brightness", x, 2)  # by .1
    np.testing.assert_allclose(y.max(2), x.max(2) + 0.1)
    np.testing.assert_allclose(y.min(2) / y.max(2), x.min(2) / x.max(2))  # saturation
    np.testing.assert_allclose(corrupted("brightness", flat(0.0), 1), 0.05)
    np.testing.assert_allclose(corrupted("brightness", flat(0.9), 5), 1)
    np.testing.assert_allclose(corrupted("brightness", flat(0.2, (8, 8, 1)), 1), 0.25)


def test_snow_is_white_and_falls() -> None:
    x = picture() * 0.5
    y = corrupted("snow", x, 3)
    assert y.mean() > x.mean()
    c = CORRUPTIONS["snow"][1][2]
    grey = x @ np.array([0.299, 0.587, 0.114])
    least = c[6] * x + (1 - c[6]) * np.maximum(x, 1.5 * grey[..., None] + 0.5)
    assert (y >= np.clip(least, 0, 1) - 1e-9).all()


def test_frost_is_a_layer_over_the_image() -> None:
    x = flat(0.4)
    stays, share = CORRUPTIONS["frost"][1][1]
    layer = (corrupted("frost", x, 2) - stays * 0.4) / share
    assert layer.min() >= -1e-9
    assert layer.max() <= 1 + 1e-9
    assert layer.std() > 0.02


# digital


def test_contrast_keeps_each_channel_s_mean() -> None:
    x = picture()
    y = corrupted("contrast", x, 3)
    np.testing.assert_allclose(y.mean((0, 1)), x.mean((0, 1)))
    np.testing.assert_allclose(y.std((0, 1)), 0.4 * x.std((0, 1)))


def test_pixels_are_the_means_of_what_they_cover() -> None:
    x = np.arange(64 * 64, dtype=float).reshape(64, 64, 1) / 64**2
    y = corrupted("pixelate", x, 2)  # of 64 pixels, half
    blocks = x.reshape(32, 2, 32, 2).mean((1, 3))
    np.testing.assert_allclose(y[..., 0], np.kron(blocks, np.ones((2, 2))), atol=1e-6)


def test_jpeg_is_what_pillow_writes() -> None:
    x = np.rint(255 * picture()).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(x).save(stream, "JPEG", quality=58)
    expected = np.asarray(Image.open(stream)) / 255
    np.testing.assert_allclose(corrupted("jpeg_compression", x / 255, 3), expected)


def test_elastic_moves_a_point_no_further_than_it_may() -> None:
    x = np.zeros((32, 32, 1))
    x[14:18, 14:18] = 1
    for severity in range(1, 6):
        pull, _, shear = CORRUPTIONS["elastic_transform"][1][severity - 1]
        y = corrupted("elastic_transform", x, severity)
        places = np.argwhere(y[..., 0] > 0.1) - 15.5
        assert len(places)
        reach = 32 * (pull + 3 * shear) + 2 * math.sqrt(2) + 1
        assert np.linalg.norm(places, axis=1).min() <= reach


def test_an_elastic_transform_of_nothing_is_the_image() -> None:
    from da_framework.datasets.corruptions import elastic_transform

    x = picture((20, 31, 3))
    np.testing.assert_allclose(elastic_transform(x, (0, 0, 0), draw()), x, atol=1e-9)


def test_a_blur_keeps_the_mean_of_a_point() -> None:
    x = np.zeros((41, 41, 1))
    x[20, 20] = 1
    y = blur(x, 2.0)
    across = np.arange(41) - 20
    assert y.sum() == pytest.approx(1)
    assert (y[..., 0].sum(0) * across**2).sum() == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize(("black", "white"), [(0.0, 1.0), (-1.0, 1.0)])
def test_images_of_numbers_are_corrupted_as_those_of_bytes(black: float, white: float) -> None:
    x = (255 * picture()).astype(np.uint8).transpose(2, 0, 1)[None]
    numbers = (black + (white - black) * x / 255).astype(np.float32)
    bytes_, ours = (
        corrupt_images(own, ["fog"], [3], [1], black=low, white=high)
        for own, low, high in ((x, 0, 255), (numbers, black, white))
    )
    assert ours.dtype == np.float32
    np.testing.assert_allclose((ours - black) / (white - black) * 255, bytes_, atol=0.51)


def test_what_cannot_be_corrupted_is_refused() -> None:
    check_corruptions(["fog"])
    with pytest.raises(InputError, match="corruption=smog: there is no such corruption"):
        check_corruptions(["fog", "smog"])
    assert find_range((3, 8, 8), "uint8", 0, 7) == (0, 255)
    assert find_range((1, 8, 8), "float32", 0.0, 1.0) == (0, 1)
    assert find_range((1, 8, 8), "float32", -0.5, 1.0) == (-1, 1)
    for shape in ((7,), (4, 8, 8)):
        with pytest.raises(InputError, match="of images of one or three channels"):
            find_range(shape, "uint8", 0, 1)
    with pytest.raises(InputError, match="between 0 and 1, or -1 and 1, and the inputs are bet"):
        find_range((1, 8, 8), "float32", -2.0, 1.0)
