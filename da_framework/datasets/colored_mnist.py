"""MNIST in two colours that say more of the label than the digit does, and lie in the target."""

from typing import Annotated, Unpack

import numpy as np

from da_framework.core.types import External, Fraction, Index, Irrelevant
from da_framework.datasets.base import Domain, Roles
from da_framework.datasets.mnist_domains import MNISTDomains

FLIPS = {"flip_20": 0.2, "flip_10": 0.1, "flip_90": 0.9, "grey": None}
"""How often the colour is not the label's; grey images have both colours."""


class ColoredMNIST(MNISTDomains):
    """Whether a digit is below 5, in red or green: a colour that follows the label, but not always.

    The label is whether the digit is below 5, flipped with probability .25; the colour is the
    label, flipped with a probability of the domain: .2 and .1 in ``flip_20`` and ``flip_10``, .9 in
    ``flip_90``, where it lies. So the digit is right in 75 of 100 everywhere, and the colour in 80,
    90 and 10. ``grey`` has the samples of ``flip_90`` in both colours.

    Of MNIST's 60000 training images, the first 50000 are shuffled and go in turn to ``flip_20`` and
    ``flip_10``; the other 10000 are ``flip_90``, whole: there is no official test part. Every
    second pixel, two channels in [0, 1], the other channel zero: float32 (2, 14, 14).

    Arjovsky, Bottou, Gulrajani, Lopez-Paz, "Invariant Risk Minimization", 2019, section 5.2.
    https://arxiv.org/abs/1907.02893

    Args:
        data_dir: the folder that holds ``digits/mnist.npz``.
        label_noise: share of the labels that are flipped.
        seed: of the order, the labels and the colours, apart from the seeds of splits and of
            training.
    """

    classes = ("0-4", "5-9")
    names = tuple(FLIPS)

    def __init__(
        self,
        *,
        data_dir: Annotated[str, Irrelevant(), External()],
        label_noise: Fraction,
        seed: Index,
        **roles: Unpack[Roles],
    ) -> None:
        super().__init__(data_dir, seed, **roles)
        self.label_noise = label_noise

    def load(self, name: str) -> Domain:
        mnist = self.read()
        digits, images = mnist["y_train"], mnist["x_train"]
        random = np.random.default_rng(self.seed)
        trained = len(digits) * 5 // 6  # 50000 of 60000
        order = np.concatenate([random.permutation(trained), np.arange(trained, len(digits))])
        # drawn for all samples alike, so that a domain's are the same whoever asks for it
        wrong, lying = random.random((2, len(digits)))
        rows = {"flip_20": slice(0, trained, 2), "flip_10": slice(1, trained, 2)}
        own = rows.get(name, slice(trained, None))
        y = (digits[order][own] >= 5) ^ (wrong[own] < self.label_noise)
        grey = images[order[own], ::2, ::2].astype(np.float32) / 255
        x = np.repeat(grey[:, None], 2, axis=1)
        if (flip := FLIPS[name]) is not None:
            color = y ^ (lying[own] < flip)
            x[np.arange(len(y)), np.where(color, 0, 1)] = 0
        return Domain(x, y.astype(np.int64))
