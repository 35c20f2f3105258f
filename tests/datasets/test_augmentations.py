import pytest
import torch
from torch import Tensor

from da_framework.core.errors import InputError
from da_framework.datasets.augmentations import BatchRandom, Crop, Distortion, Jitter, View
from da_framework.datasets.datamodule import Domains
from da_framework.training.build import build, compose

STILL = {"rotation": 0.0, "translation": 0.0, "scale": 0.0, "contrast": 0.0, "cutout": 0.0}


def random_for(x: Tensor, seed: int = 0) -> BatchRandom:
    return BatchRandom(len(x), slice(0, len(x)), seed=seed, like=x)


def image() -> Tensor:
    """A white bar in the middle of black, twelve pixels high and two wide."""
    x = -torch.ones(3, 1, 16, 16)
    x[:, :, 2:14, 7:9] = 1.0
    return x


def test_nothing_asked_for_changes_nothing() -> None:
    x = image()
    torch.testing.assert_close(Distortion(**STILL)(x, random_for(x)), x)
    flat = torch.randn(4, 3)
    assert torch.equal(Jitter(noise=0.0, drop=0.0)(flat, random_for(flat)), flat)


@pytest.mark.parametrize("key", ["rotation", "translation", "scale", "contrast", "cutout"])
def test_every_distortion_changes_every_image_in_its_own_way(key: str) -> None:
    x = image()
    strength = 45.0 if key == "rotation" else 0.3
    seen = Distortion(**(STILL | {key: strength}))(x, random_for(x))
    assert seen.shape == x.shape
    assert seen.abs().max() <= 1
    assert all(not torch.equal(a, b) for a, b in zip(seen, x, strict=True))
    assert not torch.equal(seen[0], seen[1])


def test_a_quarter_turn_lays_the_bar_down() -> None:
    class Quarter(BatchRandom):
        def uniform(self, *shape: int) -> Tensor:
            return torch.ones(self.samples, *shape)

    x = image()
    seen = Distortion(**(STILL | {"rotation": 90.0}))(x, Quarter(3, slice(0, 3), seed=0, like=x))
    torch.testing.assert_close(seen, x.transpose(2, 3), atol=1e-4, rtol=0)


def test_noise_has_its_deviation_and_some_features_are_dropped() -> None:
    x = torch.full((2000, 3), 5.0)
    noisy = Jitter(noise=0.3, drop=0.0)(x, random_for(x)) - x
    assert noisy.std().item() == pytest.approx(0.3, rel=0.03)
    kept = (Jitter(noise=0.0, drop=0.25)(x, random_for(x)) > 0).float().mean()
    assert kept.item() == pytest.approx(0.75, abs=0.02)


def test_processes_share_what_one_would_draw() -> None:
    x = torch.zeros(4, 2)
    whole = BatchRandom(4, slice(0, 4), seed=3, like=x)
    first, second = (BatchRandom(4, rows, seed=3, like=x) for rows in (slice(0, 2), slice(2, 4)))
    for name in ("normal", "uniform"):
        together = torch.cat([getattr(first, name)(5), getattr(second, name)(5)])
        assert torch.equal(getattr(whole, name)(5), together)


def domains() -> Domains:
    run = build(compose("method=control", name="check"))
    dataset = run.domains.dataset
    return Domains(dataset, ("target", "target_strong"), seed=1)


def test_the_strong_role_is_the_target_s_rows() -> None:
    data = domains()
    batch = data.batch(5)
    plain, strong = batch["target"], batch["target_strong"]
    assert torch.equal(plain.row, strong.row)
    assert torch.equal(plain.domain, strong.domain)
    assert (strong.y == -1).all()
    assert not torch.equal(plain.x, strong.x)
    assert data.task.rows["target_strong"] == data.task.rows["target"]
    assert torch.equal(strong.x, domains().batch(5)["target_strong"].x)
    assert not torch.equal(strong.x - plain.x, data.batch(6)["target_strong"].x)
    halves = [data.batch(5, rank, 2)["target_strong"].x for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), strong.x)


def test_training_may_see_rows_another_way_but_for_the_strong_and_for_evaluation() -> None:
    plain = build(compose("method=fixmatch", name="check")).domains
    jitter = "{_target_: da_framework.datasets.augmentations.Jitter, noise: 0.1, drop: 0.0}"
    weak = build(compose("method=fixmatch", f"dataset.weak={jitter}", name="check")).domains
    seen, batch = weak.batch(5), plain.batch(5)
    for role in ("source", "target"):
        assert torch.equal(seen[role].y, batch[role].y)
        assert not torch.equal(seen[role].x, batch[role].x)
        assert torch.equal(seen[role].x, weak.batch(5)[role].x)
        halves = [weak.batch(5, rank, 2)[role].x for rank in (0, 1)]
        assert torch.equal(torch.cat(halves), seen[role].x)
        assert torch.equal(weak.validation[role].x, plain.validation[role].x)
    assert torch.equal(seen["target_strong"].x, batch["target_strong"].x)


WHOLE = {"area": 1.0, "flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


class Fixed(BatchRandom):
    """Draws one number for everything."""

    number = 0.0

    def uniform(self, *shape: int) -> Tensor:
        return torch.full((self.samples, *shape), self.number)


def image_batch() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5


def test_a_crop_is_a_part_of_the_image_at_its_size() -> None:
    x = image_batch()
    whole = Fixed(2, slice(0, 2), seed=0, like=x)
    torch.testing.assert_close(Crop(**WHOLE)(x, whole), x)
    low = type("Low", (Fixed,), {"number": -1.0})(2, slice(0, 2), seed=0, like=x)
    everything = Crop(**(WHOLE | {"area": 0.25}))(x, low)  # the largest area, the least width
    torch.testing.assert_close(everything, x)
    middle = torch.nn.functional.interpolate(x[:, :, 1:7, 1:7], size=8, mode="bilinear")
    part = Crop(**(WHOLE | {"area": 0.125}))(x, whole)  # (1 + .125) / 2 of the area: 6 by 6 pixels
    torch.testing.assert_close(part[:, :, 1:-1, 1:-1], middle[:, :, 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_colours_and_sides_change_as_they_say() -> None:
    x = image_batch()
    high = type("High", (Fixed,), {"number": 1.0})(2, slice(0, 2), seed=0, like=x)
    low = type("Low", (Fixed,), {"number": -1.0})(2, slice(0, 2), seed=0, like=x)
    flipped = Crop(**(WHOLE | {"flip": 1.0}))(x, random_for(x))
    torch.testing.assert_close(flipped, x.flip(3), atol=1e-5, rtol=0)
    grey = Crop(**(WHOLE | {"saturation": 0.999999}))(x, low)
    torch.testing.assert_close(grey[:, 0], grey[:, 2], atol=1e-4, rtol=0)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    luma = (x * weights).sum(1)
    torch.testing.assert_close(grey[:, 1], luma, atol=1e-4, rtol=0)
    lighter = Crop(**(WHOLE | {"brightness": 0.2}))(x, high)
    torch.testing.assert_close(lighter, 1.2 * (x + 1) - 1)
    stark = Crop(**(WHOLE | {"contrast": 0.5}))(x, high)
    mean = x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(stark, (mean + 1.5 * (x - mean)).clamp(-1, 1))


def test_every_image_is_cropped_in_its_own_way() -> None:
    x = image_batch()[:1].expand(50, -1, -1, -1)
    seen = Crop(area=0.3, flip=0.5, brightness=0.0, contrast=0.0, saturation=0.0)(x, random_for(x))
    assert len(torch.unique(seen.flatten(1), dim=0)) == 50
    assert seen.amax() <= x.amax() + 1e-6
    assert seen.amin() >= x.amin() - 1e-6


@pytest.mark.parametrize("view", [Crop(**WHOLE), Distortion(**STILL)])
def test_views_of_images_refuse_what_are_none(view: View) -> None:
    x = torch.randn(4, 3)
    with pytest.raises(InputError, match=r"sees images, but the inputs are \(3,\): dataset\.weak"):
        view(x, random_for(x))
