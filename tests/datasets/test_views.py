import pytest
import torch
from torch import Tensor

from da_framework.build import build, compose
from da_framework.datasets.domains import Domains
from da_framework.datasets.views import Distortion, Draws, Jitter

STILL = {"rotation": 0.0, "translation": 0.0, "scale": 0.0, "contrast": 0.0, "cutout": 0.0}


def draws(x: Tensor, seed: int = 0) -> Draws:
    return Draws(len(x), slice(0, len(x)), seed=seed, like=x)


def image() -> Tensor:
    """A white bar in the middle of black, twelve pixels high and two wide."""
    x = -torch.ones(3, 1, 16, 16)
    x[:, :, 2:14, 7:9] = 1.0
    return x


def test_nothing_asked_for_changes_nothing() -> None:
    x = image()
    torch.testing.assert_close(Distortion(**STILL)(x, draws(x)), x)
    flat = torch.randn(4, 3)
    assert torch.equal(Jitter(noise=0.0, drop=0.0)(flat, draws(flat)), flat)


@pytest.mark.parametrize("key", ["rotation", "translation", "scale", "contrast", "cutout"])
def test_every_distortion_changes_every_image_in_its_own_way(key: str) -> None:
    x = image()
    strength = 45.0 if key == "rotation" else 0.3
    seen = Distortion(**(STILL | {key: strength}))(x, draws(x))
    assert seen.shape == x.shape
    assert seen.abs().max() <= 1
    assert all(not torch.equal(a, b) for a, b in zip(seen, x, strict=True))
    assert not torch.equal(seen[0], seen[1])


def test_a_quarter_turn_lays_the_bar_down() -> None:
    class Quarter(Draws):
        def uniform(self, *shape: int) -> Tensor:
            return torch.ones(self.rows, *shape)

    x = image()
    seen = Distortion(**(STILL | {"rotation": 90.0}))(x, Quarter(3, slice(0, 3), seed=0, like=x))
    torch.testing.assert_close(seen, x.transpose(2, 3), atol=1e-4, rtol=0)


def test_noise_has_its_deviation_and_some_features_are_dropped() -> None:
    x = torch.full((2000, 3), 5.0)
    noisy = Jitter(noise=0.3, drop=0.0)(x, draws(x)) - x
    assert noisy.std().item() == pytest.approx(0.3, rel=0.03)
    kept = (Jitter(noise=0.0, drop=0.25)(x, draws(x)) > 0).float().mean()
    assert kept.item() == pytest.approx(0.75, abs=0.02)


def test_processes_share_what_one_would_draw() -> None:
    x = torch.zeros(4, 2)
    whole = Draws(4, slice(0, 4), seed=3, like=x)
    first, second = (Draws(4, rows, seed=3, like=x) for rows in (slice(0, 2), slice(2, 4)))
    for name in ("normal", "uniform"):
        together = torch.cat([getattr(first, name)(5), getattr(second, name)(5)])
        assert torch.equal(getattr(whole, name)(5), together)


def domains() -> Domains:
    run = build(compose("method=control", name="check"))
    dataset = run.domains.dataset
    return Domains(dataset, ("target", "target_strong"), seed=1)


def test_the_strong_role_is_the_target_s_rows() -> None:
    own = domains()
    batch = own.batch(5)
    plain, strong = batch["target"], batch["target_strong"]
    assert torch.equal(plain.row, strong.row)
    assert torch.equal(plain.domain, strong.domain)
    assert (strong.y == -1).all()
    assert not torch.equal(plain.x, strong.x)
    assert own.task.rows["target_strong"] == own.task.rows["target"]
    assert torch.equal(strong.x, domains().batch(5)["target_strong"].x)
    assert not torch.equal(strong.x - plain.x, own.batch(6)["target_strong"].x)
    halves = [own.batch(5, rank, 2)["target_strong"].x for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), strong.x)


def test_training_may_see_the_source_another_way() -> None:
    plain = build(compose("method=control", name="check")).domains
    jitter = "{_target_: da_framework.datasets.views.Jitter, noise: 0.1, drop: 0.0}"
    own = build(compose("method=control", f"dataset.source_view={jitter}", name="check")).domains
    seen, batch = own.batch(5), plain.batch(5)
    assert torch.equal(seen["source"].y, batch["source"].y)
    assert not torch.equal(seen["source"].x, batch["source"].x)
    assert torch.equal(seen["source"].x, own.batch(5)["source"].x)
    assert torch.equal(seen["target"].x, batch["target"].x)
    assert torch.equal(own.validation["source"].x, plain.validation["source"].x)
