"""The fifteen standard corruptions of images, in five severities.

Hendrycks, Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, https://arxiv.org/abs/1903.12261. The parameters are the published ones
of CIFAR-10-C for images whose shorter side has less than 64 pixels, and of ImageNet-C for others.

Departures, where the published files were made by programs or photographs that are not here: frost
is a drawn texture in place of six photographs, motion blur is a one-sided Gaussian along a line as
ImageMagick defines it, and the blurs of edges repeat them. Accuracies on the published files are
near those on ours, and not the same.
"""

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate, gaussian_filter, map_coordinates, zoom

from da_framework.core.errors import InputError, listed
from da_framework.core.pictures import open_picture
from da_framework.core.seeding import mix

Picture = NDArray[np.float64]
"""Height, width and channels, in [0, 1]."""
Draw = np.random.Generator
Number = float | int
"""As the published tables have them."""
SMALL = 64
"""Pixels of the shorter side from which on an image has the parameters of ImageNet-C."""
LUMA = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


def corrupt_images(
    x: NDArray[Any],
    names: Sequence[str],
    severities: Sequence[int],
    seeds: Sequence[int],
    *,
    black: Number = 0,
    white: Number = 255,
) -> NDArray[Any]:
    """Images, each with a corruption of its own.

    Args:
        x: images, of bytes or of numbers: samples, channels, height, width.
        names: of the corruption of each.
        severities: of each, 1 to 5; 0 leaves it as it is.
        seeds: of what is drawn for each.
        black: the lowest value that a pixel may have.
        white: the highest.
    """
    out = x.copy()
    for number, (name, severity, seed) in enumerate(zip(names, severities, seeds, strict=True)):
        if severity:
            draw = np.random.Generator(np.random.PCG64(mix(seed, name)))
            pixels = x[number].transpose(1, 2, 0).astype(np.float64)
            changed = clip(corrupt((pixels - black) / (white - black), name, severity, draw))
            pixels = black + (white - black) * changed.transpose(2, 0, 1)
            out[number] = np.floor(pixels + 0.5) if x.dtype == np.uint8 else pixels
    return out


def corrupt(picture: Picture, name: str, severity: int, draw: Draw) -> Picture:
    """An image with a corruption.

    Args:
        picture: height, width and one or three channels, in [0, 1].
        name: of the corruption.
        severity: from 1 to 5.
        draw: of what is drawn.
    """
    function, small, large = CORRUPTIONS[name]
    table = small if min(picture.shape[:2]) < SMALL else large
    return function(picture, table[severity - 1], draw)


def check_corruptions(names: Sequence[str]) -> None:
    """Refuses names that are none.

    Raises:
        InputError: with what is possible.
    """
    for name in names:
        if name not in CORRUPTIONS:
            raise InputError(
                f"corruption={name}: there is no such corruption; they are {listed(CORRUPTIONS)}"
            )


def find_range(
    shape: Sequence[int], dtype: str, low: Number, high: Number
) -> tuple[Number, Number]:
    """Black and white of images: 0 and 255 of bytes; of numbers 0 and 1, or -1 and 1.

    Args:
        shape: of one input.
        dtype: of the inputs.
        low: the lowest value of all inputs.
        high: the highest.

    Raises:
        InputError: they are no images of one or three channels, or of another range.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(
            f"corruptions are of images of one or three channels, and the inputs are {tuple(shape)}"
        )
    if dtype == "uint8":
        return 0, 255
    if low < -1 or high > 1:
        raise InputError(
            f"corruptions are of images whose numbers are between 0 and 1, or -1 and 1, and the "
            f"inputs are between {low:.3g} and {high:.3g}"
        )
    return (0, 1) if low >= 0 else (-1, 1)


# noise


def gaussian_noise(x: Picture, scale: Number, draw: Draw) -> Picture:
    """Normal noise of a standard deviation."""
    return clip(x + draw.normal(scale=scale, size=x.shape))


def shot_noise(x: Picture, photons: Number, draw: Draw) -> Picture:
    """Poisson noise of so many photons in white."""
    return clip(draw.poisson(x * photons) / photons)


def impulse_noise(x: Picture, share: Number, draw: Draw) -> Picture:
    """A share of the values becomes 0 or 1, either as likely."""
    struck = draw.uniform(size=x.shape) < share
    return np.where(struck, draw.integers(2, size=x.shape), x).astype(np.float64)


# blur


def defocus_blur(x: Picture, c: tuple[Number, Number], draw: Draw) -> Picture:
    """Averages over a disk: its radius, and how far its edge is softened."""
    return spread(x, soft_disk(*c))


def glass_blur(x: Picture, c: tuple[Number, int, int], draw: Draw) -> Picture:
    """Pixels change places with near ones, between two blurs: their width, how near, how often."""
    width, reach, times = c
    blurred = blur(x, width)
    height, breadth = x.shape[:2]
    for _ in range(times):
        # as published, the swaps follow each other from below, and reach one less to the right
        moves = draw.integers(-reach, reach, size=(height, breadth, 2))
        for row in range(height - reach - 1, reach - 1, -1):
            for column in range(breadth - reach - 1, reach - 1, -1):
                down, right = moves[row, column]
                other = row + down, column + right
                here = blurred[row, column].copy()
                blurred[row, column], blurred[other] = blurred[other], here
    return clip(blur(blurred, width))


def motion_blur(x: Picture, c: tuple[Number, Number], draw: Draw) -> Picture:
    """A trail in a direction within 45 degrees of the horizontal: its length and its width."""
    return clip(trail(x, *c, draw.uniform(-45, 45)))


def zoom_blur(x: Picture, factors: NDArray[np.float64], draw: Draw) -> Picture:
    """The mean of the image and of it seen ever nearer."""
    nearer = [zoom_in(x, factor) for factor in factors]
    return clip((x + sum(nearer)) / (len(factors) + 1))


# weather


def snow(x: Picture, c: tuple[Number, ...], draw: Draw) -> Picture:
    """Flakes that fall, and a whiter picture.

    Of the flakes: mean and deviation of the noise they are made of, how near they are, from where
    on noise is a flake, length and width of their trails; then the share of the picture that stays.
    """
    mean, deviation, near, least, length, width, stays = c
    layer = zoom_in(draw.normal(mean, deviation, size=x.shape[:2])[..., None], near)
    layer = np.where(layer < least, 0, np.clip(layer, 0, 1))
    layer = trail(layer, length, width, draw.uniform(-135, -45))
    white = np.maximum(x, 1.5 * grey(x) + 0.5)
    return clip(stays * x + (1 - stays) * white + layer + np.rot90(layer, 2, (0, 1)))


def frost(x: Picture, c: tuple[Number, Number], draw: Draw) -> Picture:
    """A layer of frost over the picture: the shares of either. The frost is drawn here."""
    stays, share = c
    return clip(stays * x + share * ice(x.shape[:2], draw))


def fog(x: Picture, c: tuple[Number, Number], draw: Draw) -> Picture:
    """A fractal of fog: how thick, and how fast its detail decays."""
    thick, decay = c
    side = 2 ** math.ceil(math.log2(max(x.shape[:2])))
    cloud = plasma(side, decay, draw)[: x.shape[0], : x.shape[1], None]
    highest = x.max()
    if highest == 0:
        return np.zeros_like(x)
    return clip((x + thick * cloud) * highest / (highest + thick))


def brightness(x: Picture, more: Number, draw: Draw) -> Picture:
    """The value of every colour (in HSV) is raised; hue and saturation stay."""
    value = x.max(2, keepdims=True)
    raised = np.clip(value + more, 0, 1)
    # a colour is its value times what hue and saturation make of it
    return clip(np.where(value > 0, x / np.where(value > 0, value, 1), 1.0) * raised)


# digital


def contrast(x: Picture, factor: Number, draw: Draw) -> Picture:
    """Nearer to the mean of each channel."""
    mean = x.mean((0, 1), keepdims=True)
    return clip((x - mean) * factor + mean)


def elastic_transform(x: Picture, c: tuple[Number, Number, Number], draw: Draw) -> Picture:
    """Sheared and locally pulled about.

    As shares of the shorter side: how far pixels are pulled, how smooth the pull is, and how far
    the three corners are moved that the shear is made of.
    """
    side = min(x.shape[:2])
    pull, smooth, shear = (share * side for share in c)
    centre, size = np.array(x.shape[:2]) // 2, side // 3
    corners = np.array([centre + size, [centre[0] + size, centre[1] - size], centre - size])
    moved = corners + draw.uniform(-shear, shear, size=(3, 2))
    places = np.indices(x.shape[:2]).astype(np.float64).transpose(1, 2, 0)
    # where each pixel of the new picture comes from: the affine map that takes moved to corners
    affine = np.linalg.solve(np.c_[moved, np.ones(3)], corners)
    places = np.concatenate([places, np.ones((*x.shape[:2], 1))], 2) @ affine
    pulled = draw.uniform(-1, 1, size=(2, *x.shape[:2]))
    if smooth:
        pulled = np.stack([gaussian_filter(p, smooth, mode="reflect", truncate=3) for p in pulled])
    places = places + (pull * pulled).transpose(1, 2, 0)
    channels = [
        map_coordinates(x[..., n], places.transpose(2, 0, 1), order=1, mode="reflect")
        for n in range(x.shape[2])
    ]
    return clip(np.stack(channels, 2))


def pixelate(x: Picture, share: Number, draw: Draw) -> Picture:
    """Larger pixels: sides are brought to a share and back, each pixel a mean of what it covers."""
    height, width = x.shape[:2]
    small = (max(1, int(width * share)), max(1, int(height * share)))
    return each_channel(
        x,
        lambda image: image.resize(small, Image.Resampling.BOX).resize(
            (width, height), Image.Resampling.BOX
        ),
    )


def jpeg_compression(x: Picture, quality: int, draw: Draw) -> Picture:
    """What JPEG of a quality leaves."""
    pixels = np.rint(255 * x).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if x.shape[2] == 1 else pixels).save(
        stream, "JPEG", quality=quality
    )
    read = np.asarray(open_picture(stream.getvalue()), np.float64) / 255
    return read.reshape(x.shape)


# what they are made of


def clip(x: Any) -> Picture:
    """A picture whose values are between 0 and 1."""
    picture: Picture = np.clip(x, 0, 1)
    return picture


def blur(x: Picture, width: Number) -> Picture:
    """A Gaussian blur of each channel, edges repeated."""
    blurred: Picture = gaussian_filter(x, (width, width, 0), mode="nearest")
    return blurred


def grey(x: Picture) -> Picture:
    """The brightness of each pixel."""
    return x if x.shape[2] == 1 else (x @ LUMA)[..., None]


def soft_disk(radius: Number, soft: Number) -> NDArray[np.float64]:
    """Weights of a disk about the middle, whose edge a Gaussian softens; their sum is 1."""
    reach = max(8, math.ceil(radius))
    across = np.arange(-reach, reach + 1)
    disk = (across[:, None] ** 2 + across**2 <= radius**2).astype(np.float64)
    near = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
    line = np.exp(-(near**2) / (2 * soft**2))
    line /= line.sum()
    softened = correlate(disk / disk.sum(), np.outer(line, line), mode="constant")
    weights: NDArray[np.float64] = softened / softened.sum()
    return weights


def spread(x: Picture, kernel: NDArray[np.float64]) -> Picture:
    """Each channel averaged by a kernel, mirrored at the edges."""
    return clip(correlate(x, kernel[..., None], mode="mirror"))


def trail(x: Picture, length: Number, width: Number, angle: Number) -> Picture:
    """Averages along a line from each pixel, by a Gaussian that begins there.

    Args:
        x: a picture.
        length: of the line, in pixels either way of the Gaussian's middle: 2 length + 1 in all.
        width: of the Gaussian, in pixels.
        angle: in degrees; 0 is to the right, as rows go down.
    """
    taps = np.arange(2 * int(length) + 1)
    weights = np.exp(-(taps**2) / (2 * width**2))
    weights /= weights.sum()
    turn = math.radians(angle)
    rows, columns = np.indices(x.shape[:2])
    out = np.zeros_like(x)
    for tap, weight in zip(taps, weights, strict=True):
        down = np.clip(rows + round(tap * math.sin(turn)), 0, x.shape[0] - 1)
        right = np.clip(columns + round(tap * math.cos(turn)), 0, x.shape[1] - 1)
        out += weight * x[down, right]
    return out


def zoom_in(x: Picture, factor: Number) -> Picture:
    """The middle of a picture, as large as the whole was; linear between pixels."""
    height, width = x.shape[:2]
    rows, columns = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - rows) // 2, (width - columns) // 2
    near = zoom(x[top : top + rows, left : left + columns], (factor, factor, 1), order=1)
    top, left = (near.shape[0] - height) // 2, (near.shape[1] - width) // 2
    middle: Picture = near[top : top + height, left : left + width]
    return middle


def plasma(side: int, decay: Number, draw: Draw) -> NDArray[np.float64]:
    """A fractal by midpoints and chance (diamond and square), in [0, 1].

    Args:
        side: a power of 2; it continues itself beyond its edges.
        decay: by which the chance is divided where the step is halved.
        draw: of chance.
    """
    field = np.zeros((side, side))
    step, chance = side, 100.0

    def set_middles(middles: Any, corners: Sequence[NDArray[np.float64]]) -> None:
        mean = np.mean(corners, axis=0)
        field[middles] = mean + chance * draw.uniform(-chance, chance, size=mean.shape)

    while step > 1:
        half = step // 2
        whole, middle = slice(0, side, step), slice(half, side, step)
        corner = field[whole, whole]
        below = np.roll(corner, -1, 0)
        set_middles(
            (middle, middle),
            [corner, below, np.roll(corner, -1, 1), np.roll(below, -1, 1)],
        )
        centre = field[middle, middle]
        set_middles(
            (whole, middle), [corner, np.roll(corner, -1, 1), centre, np.roll(centre, 1, 0)]
        )
        set_middles(
            (middle, whole), [corner, np.roll(corner, -1, 0), centre, np.roll(centre, 1, 1)]
        )
        step, chance = half, chance / decay
    field -= field.min()
    cloud: NDArray[np.float64] = field / max(field.max(), 1e-12)
    return cloud


def ice(shape: Sequence[int], draw: Draw) -> NDArray[np.float64]:
    """A texture of frost: bright needles that grow from the edges over a rough grey, bluish.

    Made of the same fractal as fog: its ridges are the needles.
    """
    side = 2 ** math.ceil(math.log2(max(*shape, 2)))
    ridges = 1 - np.abs(2 * plasma(side, 1.8, draw) - 1)
    rough = plasma(side, 1.5, draw)
    field = (0.65 * ridges**3 + 0.35 * rough)[: shape[0], : shape[1]]
    layer: NDArray[np.float64] = field[..., None]
    return layer


def each_channel(x: Picture, change: Callable[[Image.Image], Image.Image]) -> Picture:
    """What a change of Pillow's makes of each channel, in 32-bit numbers."""
    channels = [
        np.asarray(change(Image.fromarray(x[..., n].astype(np.float32))), np.float64)
        for n in range(x.shape[2])
    ]
    return np.stack(channels, 2)


def _steps(*ends: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Factors from 1 in steps of so many hundredths, below an end in hundredths."""
    return [np.arange(100, end, step) / 100 for end, step in ends]


CORRUPTIONS: dict[str, tuple[Callable[..., Picture], Sequence[Any], Sequence[Any]]] = {
    "gaussian_noise": (
        gaussian_noise,
        (0.04, 0.06, 0.08, 0.09, 0.10),
        (0.08, 0.12, 0.18, 0.26, 0.38),
    ),
    "shot_noise": (shot_noise, (500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),
    "impulse_noise": (
        impulse_noise,
        (0.01, 0.02, 0.03, 0.05, 0.07),
        (0.03, 0.06, 0.09, 0.17, 0.27),
    ),
    "defocus_blur": (
        defocus_blur,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "glass_blur": (
        glass_blur,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "motion_blur": (
        motion_blur,
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "zoom_blur": (
        zoom_blur,
        _steps((106, 1), (111, 1), (116, 1), (121, 1), (126, 1)),
        _steps((111, 1), (116, 1), (121, 2), (126, 2), (131, 3)),
    ),
    "snow": (
        snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "frost": (
        frost,
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    ),
    "fog": (
        fog,
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "brightness": (brightness, (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": (contrast, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    "elastic_transform": (
        elastic_transform,
        (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
    ),
    "pixelate": (pixelate, (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg_compression": (jpeg_compression, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
}
"""Names as published, what each does, and its parameters: of CIFAR-10-C, of ImageNet-C."""
