"""Two half circles that interlock, and the same turned about their middle."""

from typing import Unpack

import numpy as np

from da_framework.core.seeding import mix
from da_framework.core.types import Count, Finite, Index, NonNegative
from da_framework.datasets.base import Dataset, Domain, Roles


class TwoMoons(Dataset):
    """Points of two interlocking half circles; the domains differ by a rotation, or a shift.

    Each domain is a draw of its own, centred on its mean before it is rotated.
    There is no official test part.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, section 5.1.1 (with a
    rotation of 35 degrees). https://arxiv.org/abs/1505.07818

    Args:
        rows: points of a domain, half of them in each class.
        rotation: of the domain ``rotated``, in degrees, counter-clockwise; ``halfway`` is turned
            by half of it.
        shift: of the domain ``rotated``, along both axes; ``halfway`` by half of it.
        noise: standard deviation added to both coordinates; the half circles have radius 1.
        seed: of the points, apart from the seeds of splits and of training.
    """

    classes = ("upper", "lower")
    names = ("straight", "halfway", "rotated")

    def __init__(
        self,
        *,
        rows: Count,
        rotation: Finite,
        shift: Finite,
        noise: NonNegative,
        seed: Index,
        **roles: Unpack[Roles],
    ) -> None:
        super().__init__(**roles)
        self.rows = rows
        self.rotation = rotation
        self.shift = shift
        self.noise = noise
        self.seed = seed

    def licence(self, name: str) -> str:
        return "generated, and so none is needed"

    def load(self, name: str) -> Domain:
        # here and not above: a finished run is recognised without it
        from sklearn.datasets import make_moons

        # scikit-learn takes seeds of 32 bits
        points, y = make_moons(self.rows, noise=self.noise, random_state=mix(self.seed, name) >> 31)
        points = points - points.mean(axis=0)
        if name != "straight":
            share = 0.5 if name == "halfway" else 1.0
            angle = np.deg2rad(share * self.rotation)
            turned = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
            points = points @ np.array(turned) + share * self.shift
        return Domain(points.astype(np.float32), y.astype(np.int64))
