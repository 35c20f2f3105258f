"""The same rows seen another way: what a strong augmentation makes of a batch.

torch is imported where it is used: a finished run is recognised without it.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from da_framework.ranges import Fraction, NonNegative

if TYPE_CHECKING:
    from torch import Tensor


class Draws:
    """Random numbers for the rows of a batch: a process gets those of its own rows.

    Args:
        rows: of the global batch.
        own: which of them are this process's.
        seed: of this batch.
        like: a tensor of the type and on the device that are wanted.
    """

    def __init__(self, rows: int, own: slice, *, seed: int, like: "Tensor") -> None:
        import torch

        self.rows, self.own = rows, own
        # inputs may be whole numbers, random ones are not
        self.like = like if like.is_floating_point() else like.new_empty(0, dtype=torch.float32)
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> "Tensor":
        """Standard normal numbers, a row of this shape for each row of the batch."""
        import torch

        return torch.randn(self.rows, *shape, generator=self.generator)[self.own].to(self.like)

    def uniform(self, *shape: int) -> "Tensor":
        """Numbers uniform in [-1, 1), a row of this shape for each row of the batch."""
        import torch

        drawn = torch.rand(self.rows, *shape, generator=self.generator)[self.own]
        return (2 * drawn - 1).to(self.like)


class View(ABC):
    """How a role sees rows."""

    @abstractmethod
    def __call__(self, x: "Tensor", draws: Draws) -> "Tensor":
        """Inputs of the same shape."""


class Jitter(View):
    """Features with noise added, some of them left out.

    Args:
        noise: standard deviation of what is added, in units of the features.
        drop: share of the features set to 0.
    """

    def __init__(self, *, noise: NonNegative, drop: Fraction) -> None:
        self.noise = noise
        self.drop = drop

    def __call__(self, x: "Tensor", draws: Draws) -> "Tensor":
        noisy = x + self.noise * draws.normal(*x.shape[1:])
        return noisy * (draws.uniform(*x.shape[1:]) >= 2 * self.drop - 1)


class WordsLeftOut(View):
    """Texts of which words are missing: 0, which stands for no word, in their place.

    Args:
        drop: share of the words.
    """

    def __init__(self, *, drop: Fraction) -> None:
        self.drop = drop

    def __call__(self, x: "Tensor", draws: Draws) -> "Tensor":
        return x * (draws.uniform(*x.shape[1:]) >= 2 * self.drop - 1)


class Distortion(View):
    """Images turned, moved, scaled, of other contrast, with a square cut out.

    Each is drawn uniformly up to its range, for every image anew. In the spirit of Cubuk et al.,
    "Randaugment", NeurIPS 2020, https://arxiv.org/abs/1909.13719, and of DeVries, Taylor, "Improved
    Regularization of Convolutional Neural Networks with Cutout", 2017,
    https://arxiv.org/abs/1708.04552

    Args:
        rotation: at most so many degrees either way.
        translation: at most this share of the side, along both axes.
        scale: at most this share larger or smaller.
        contrast: at most this share more or less.
        cutout: side of the square that is set to mid-grey, as a share of the image's.
    """

    def __init__(
        self,
        *,
        rotation: NonNegative,
        translation: NonNegative,
        scale: Fraction,
        contrast: Fraction,
        cutout: Fraction,
    ) -> None:
        self.rotation = rotation
        self.translation = translation
        self.scale = scale
        self.contrast = contrast
        self.cutout = cutout

    def __call__(self, x: "Tensor", draws: Draws) -> "Tensor":
        import torch
        from torch.nn.functional import affine_grid, grid_sample

        turn = torch.deg2rad(self.rotation * draws.uniform())
        size = 1 + self.scale * draws.uniform()
        move = 2 * self.translation * draws.uniform(2)
        cos, sin = size * turn.cos(), size * turn.sin()
        rows = [torch.stack([cos, -sin, move[:, 0]], 1), torch.stack([sin, cos, move[:, 1]], 1)]
        grid = affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
        moved = grid_sample(x, grid, padding_mode="border", align_corners=False)
        factor = 1 + self.contrast * draws.uniform(1, 1, 1)
        centre = draws.uniform(2)
        height, width = (torch.linspace(-1, 1, side).to(x) for side in x.shape[-2:])
        inside = [
            (axis - centre[:, [number]]).abs() < self.cutout
            for number, axis in enumerate((height, width))
        ]
        cut = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return (moved * factor).clamp(-1, 1).masked_fill(cut, 0.0)
