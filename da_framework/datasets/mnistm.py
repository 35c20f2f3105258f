r"""MNIST-M: MNIST digits blended into windows of photographs.

.. math::
    x = \begin{cases} 255 - m & \text{where the digit } d > 0 \\ m & \text{elsewhere} \end{cases}

``d`` is the digit, zero-padded from 28x28 to 32x32, and ``m`` a 32x32 window of a BSDS500 training
photograph, in all three channels.

Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, section 5.2.
https://arxiv.org/abs/1505.07818

The paper writes :math:`|m - d|`; the images its authors published follow the formula above, with
the digit as a mask and not with its grey levels, in every pixel of all 68,002.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from da_framework.core.errors import InputError, listed
from da_framework.core.seeding import mix
from da_framework.datasets.base import PARTS, Array

SIZE = 32
"""Height and width of an image."""

ORIGINAL = "original"
"""The recipe of the images as published; a fresh draw has ``seed <n>`` in its place."""


def blend(digits: Array, photos: Sequence[Array], windows: Array) -> Array:
    """The recipe: digits over windows of photographs.

    Args:
        digits: (n, 28, 28) uint8.
        photos: (height, width, 3) uint8 each, of any sizes from 32.
        windows: (n, 3): which photograph, top row, left column.

    Returns:
        (n, 32, 32, 3) uint8.
    """
    images = np.empty((len(digits), SIZE, SIZE, 3), np.uint8)
    for row, (photo, top, left) in enumerate(windows.tolist()):
        images[row] = photos[photo][top : top + SIZE, left : left + SIZE]
    high, wide = (SIZE - side for side in digits.shape[1:])
    margins = ((0, 0), (high // 2, high - high // 2), (wide // 2, wide - wide // 2))
    np.subtract(255, images, out=images, where=np.pad(digits > 0, margins)[..., None])
    return images


def rebuild(
    mnist: Mapping[str, Array], photos: Mapping[str, Array], recipe: Mapping[str, Array]
) -> dict[str, Array]:
    """The published images, rebuilt from what they were made of.

    Args:
        mnist: ``x_train``, ``y_train``, ``x_test``, ``y_test``.
        photos: photographs by file name.
        recipe: ``photo_names``, and for each part ``loc`` (windows) and ``index`` (which digits).

    Raises:
        InputError: the recipe needs a photograph or digits that are not there.
    """
    names = [str(name) for name in recipe["photo_names"]]
    if lacking := [name for name in names if name not in photos]:
        raise InputError(
            f"the recipe of MNIST-M uses {len(names)} photographs, but {len(lacking)} of them "
            f"({listed(lacking[:5])}, ...) are not among the {len(photos)} given; "
            "all of BSDS500/data/images/train are needed"
        )
    arrays: dict[str, Array] = {"recipe": np.array(ORIGINAL)}
    for part in PARTS:
        index = recipe[f"index_{part}"]
        if index.max() >= len(mnist[f"x_{part}"]):
            raise InputError(
                f"the recipe of MNIST-M uses the {part} digit {index.max()}, but MNIST has only "
                f"{len(mnist[f'x_{part}'])} here; the whole of MNIST is needed"
            )
        ordered = [photos[name] for name in names]
        arrays[f"x_{part}"] = blend(mnist[f"x_{part}"][index], ordered, recipe[f"loc_{part}"])
        arrays[f"y_{part}"] = mnist[f"y_{part}"][index]
    return arrays


def draw(mnist: Mapping[str, Array], photos: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """MNIST-M drawn afresh: every digit over a random window of a random photograph.

    Args:
        mnist: ``x_train``, ``y_train``, ``x_test``, ``y_test``.
        photos: photographs by file name; their order does not matter.
        seed: of the draw; train and test are drawn apart.
    """
    ordered = [photos[name] for name in sorted(photos)]
    room = np.array([photo.shape[:2] for photo in ordered]) - SIZE
    arrays: dict[str, Array] = {"recipe": np.array(f"seed {seed}")}
    for part in PARTS:
        digits = mnist[f"x_{part}"]
        generator = np.random.default_rng(mix(seed, "mnistm", part))
        photo = generator.integers(len(ordered), size=len(digits))
        corner = generator.integers(room[photo], endpoint=True)
        arrays[f"x_{part}"] = blend(digits, ordered, np.column_stack([photo, corner]))
        arrays[f"y_{part}"] = mnist[f"y_{part}"]
    return arrays
