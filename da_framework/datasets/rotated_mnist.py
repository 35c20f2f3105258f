"""MNIST turned by six angles: DomainBed's domains of which each may be the unseen target."""

from typing import Annotated, Unpack

import numpy as np
from PIL import Image

from da_framework.core.errors import InputError
from da_framework.core.types import Count, External, Index, Irrelevant
from da_framework.datasets.base import Array, Domain, Roles
from da_framework.datasets.mnist_domains import MNISTDomains

ANGLES = (0, 15, 30, 45, 60, 75)
"""In degrees, counter-clockwise."""


class RotatedMNIST(MNISTDomains):
    """MNIST in six parts, each turned by another angle.

    All 70000 images, both official parts, are shuffled and go in turn to the six domains, which so
    have no image in common; ``angle_15`` is turned by 15 degrees, bilinearly, black around. Bytes
    (1, 28, 28), without an official test part.

    Ghifary, Kleijn, Zhang, Balduzzi, "Domain Generalization for Object Recognition with Multi-task
    Autoencoders", ICCV 2015, in the form of Gulrajani, Lopez-Paz, "In Search of Lost Domain
    Generalization", ICLR 2021. https://arxiv.org/abs/2007.01434

    Args:
        data_dir: the folder that holds ``digits/mnist.npz``.
        samples: of each domain; ``None`` is all that there are.
        seed: of the order, apart from the seeds of splits and of training.
    """

    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    names = tuple(f"angle_{angle}" for angle in ANGLES)

    def __init__(
        self,
        *,
        data_dir: Annotated[str, Irrelevant(), External()],
        samples: Count | None,
        seed: Index,
        **roles: Unpack[Roles],
    ) -> None:
        super().__init__(data_dir, seed, **roles)
        self.samples = samples

    def load(self, name: str) -> Domain:
        mnist = self.read()
        images = np.concatenate([mnist["x_train"], mnist["x_test"]])
        digits = np.concatenate([mnist["y_train"], mnist["y_test"]])
        place = self.names.index(name)
        order = np.random.default_rng(self.seed).permutation(len(digits))[place :: len(ANGLES)]
        if self.samples is not None and self.samples > len(order):
            raise InputError(f"dataset.samples={self.samples}: {name} has only {len(order)}")
        own = order[: self.samples]
        turned = [turn(image, ANGLES[place]) for image in images[own]]
        return Domain(np.stack(turned)[:, None], digits[own].astype(np.int64))


def turn(image: Array, angle: int) -> Array:
    """An image (height, width) of bytes, turned counter-clockwise about its middle."""
    picture = Image.fromarray(image)
    return np.asarray(picture.rotate(angle, Image.Resampling.BILINEAR, fillcolor=0))
