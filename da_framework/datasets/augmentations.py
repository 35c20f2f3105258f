"""Weak and strong augmentations of a batch: the same samples, seen another way.

torch is imported where it is used: a finished run is recognised without it.
"""

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from da_framework.core.errors import InputError
from da_framework.core.types import Fraction, NonNegative, Share

if TYPE_CHECKING:
    from torch import Tensor


class BatchRandom:
    """Random numbers for the samples of a batch: a process gets those of its own share.

    Args:
        samples: how many the global batch has.
        local: which of them are this process's.
        seed: of this batch.
        like: a tensor of the type and on the device that are wanted.
    """

    def __init__(self, samples: int, local: slice, *, seed: int, like: "Tensor") -> None:
        import torch

        self.samples, self.local = samples, local
        # inputs may be whole numbers, random ones are not
        self.like = like if like.is_floating_point() else like.new_empty(0, dtype=torch.float32)
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> "Tensor":
        """Standard normal numbers of this shape for each sample of the batch."""
        import torch

        from da_framework.core.batch import send

        drawn = torch.randn(self.samples, *shape, generator=self.generator)[self.local]
        return send(drawn, self.like)

    def uniform(self, *shape: int) -> "Tensor":
        """Numbers uniform in [-1, 1), of this shape for each sample of the batch."""
        import torch

        from da_framework.core.batch import send

        drawn = torch.rand(self.samples, *shape, generator=self.generator)[self.local]
        return send(2 * drawn - 1, self.like)


class View(ABC):
    """An augmentation: how a role sees its samples."""

    @abstractmethod
    def __call__(self, x: "Tensor", random: BatchRandom) -> "Tensor":
        """Inputs of the same shape."""


def check_images(view: View, x: "Tensor") -> None:
    """Refuses inputs that are not images.

    Raises:
        InputError: they are something else.
    """
    if x.dim() != 4:
        raise InputError(
            f"{type(view).__name__} sees images, but the inputs are {tuple(x.shape[1:])}: "
            "dataset.weak=null leaves samples as they are, and for dataset.strong there is "
            "augmentations.Jitter, which is for features, or WordsLeftOut, for texts"
        )


class Jitter(View):
    """Features with noise added, some of them left out.

    Args:
        noise: standard deviation of what is added, in units of the features.
        drop: share of the features set to 0.

    Raises:
        InputError: the inputs are token ids, which noise would make other words of.
    """

    def __init__(self, *, noise: NonNegative, drop: Fraction) -> None:
        self.noise = noise
        self.drop = drop

    def __call__(self, x: "Tensor", random: BatchRandom) -> "Tensor":
        if not (x.is_floating_point() or x.itemsize == 1):
            raise InputError(
                "Jitter sees numbers, but the inputs are token ids: of texts, "
                "augmentations.WordsLeftOut leaves words out"
            )
        noisy = x + self.noise * random.normal(*x.shape[1:])
        return noisy * (random.uniform(*x.shape[1:]) >= 2 * self.drop - 1)


class WordsLeftOut(View):
    """Texts with words left out: in their place is the token id 0, which stands for no word.

    Args:
        drop: share of the words.
    """

    def __init__(self, *, drop: Fraction) -> None:
        self.drop = drop

    def __call__(self, x: "Tensor", random: BatchRandom) -> "Tensor":
        return x * (random.uniform(*x.shape[1:]) >= 2 * self.drop - 1)


class Crop(View):
    r"""Images cropped, flipped and of other colours, each in its own way.

    A part of the image is brought to its size: its area is a share drawn uniformly, its sides are
    as 1 to :math:`e^r` with r uniform within :math:`\pm \ln \frac43` or what fits, and it lies
    anywhere. Brightness, contrast (about the image's mean) and saturation (of three channels) are
    multiplied by uniform factors. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015,
    section 6.

    Args:
        area: the smallest share of the area.
        flip: probability that left and right change places.
        brightness: at most this share more or less.
        contrast: likewise.
        saturation: likewise.
    """

    def __init__(
        self,
        *,
        area: Share,
        flip: Share,
        brightness: Fraction,
        contrast: Fraction,
        saturation: Fraction,
    ) -> None:
        self.area = area
        self.flip = flip
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation

    def __call__(self, x: "Tensor", random: BatchRandom) -> "Tensor":
        import torch
        from torch.nn.functional import affine_grid, grid_sample

        check_images(self, x)
        area = 1 - (1 - self.area) * (random.uniform() + 1) / 2
        longer = (-area.log()).clamp(max=math.log(4 / 3))
        stretch = torch.exp(random.uniform() * longer / 2)
        width, height = area.sqrt() * stretch, area.sqrt() / stretch
        across, down = random.uniform(2).T
        turn = torch.where(random.uniform() < 2 * self.flip - 1, -1.0, 1.0)
        none = torch.zeros_like(width)
        rows = [
            torch.stack([turn * width, none, across * (1 - width)], 1),
            torch.stack([none, height, down * (1 - height)], 1),
        ]
        grid = affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
        seen = grid_sample(x, grid, padding_mode="border", align_corners=False)
        light, against, colour = (
            1 + share * random.uniform(1, 1, 1)
            for share in (self.brightness, self.contrast, self.saturation)
        )
        seen = light * (seen + 1) - 1
        seen = torch.lerp(seen.mean((1, 2, 3), keepdim=True), seen, against)
        if x.shape[1] == 3:
            red, green, blue = (seen[:, [channel]] for channel in range(3))
            grey = 0.299 * red + 0.587 * green + 0.114 * blue
            seen = torch.lerp(grey.expand_as(seen), seen, colour)
        return seen.clamp(-1, 1)


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

    def __call__(self, x: "Tensor", random: BatchRandom) -> "Tensor":
        import torch
        from torch.nn.functional import affine_grid, grid_sample

        check_images(self, x)
        turn = torch.deg2rad(self.rotation * random.uniform())
        size = 1 + self.scale * random.uniform()
        move = 2 * self.translation * random.uniform(2)
        cos, sin = size * turn.cos(), size * turn.sin()
        # both axes reach from -1 to 1, whatever the sides: a turn must not shear
        aspect = x.shape[-2] / x.shape[-1]
        rows = [
            torch.stack([cos, -sin * aspect, move[:, 0]], 1),
            torch.stack([sin / aspect, cos, move[:, 1]], 1),
        ]
        grid = affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
        moved = grid_sample(x, grid, padding_mode="border", align_corners=False)
        factor = 1 + self.contrast * random.uniform(1, 1, 1)
        centre = random.uniform(2)
        height, width = (torch.linspace(-1, 1, side).to(x) for side in x.shape[-2:])
        inside = [
            (axis - centre[:, [number]]).abs() < self.cutout
            for number, axis in enumerate((height, width))
        ]
        cut = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return (moved * factor).clamp(-1, 1).masked_fill(cut, 0.0)
