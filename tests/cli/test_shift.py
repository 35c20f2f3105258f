"""``da shift`` as it is typed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROLES = ("dataset=arrays", "dataset.root=data", "dataset.source=[s]", "dataset.target=[t]")
FAST = ("draws=10", "permutations=39", "out=found.json")


def write(shares: list[float], *, shift: float = 0.0, seed: int = 0, k: int = 2) -> None:
    """A source with equal shares of the classes and a target with others."""
    random = np.random.default_rng(seed)
    Path("data").mkdir(exist_ok=True)
    for name, own in (("s", [1 / k] * k), ("t", shares)):
        y = random.choice(k, size=600, p=own)
        x = random.normal(size=(600, 3)) + 3 * y[:, None] + (shift if name == "t" else 0)
        np.savez(Path("data") / f"{name}.npz", x=x.astype(np.float32), y=y)


def found(da: Any, *overrides: str) -> tuple[dict[str, Any], str]:
    ended = da("shift", *ROLES, *FAST, *overrides)
    assert ended.code == 0, ended
    read: dict[str, Any] = json.loads(Path("found.json").read_text())
    return read, ended.out


@pytest.mark.parametrize(
    ("shares", "shift", "sentence"),
    [
        ([0.5, 0.5], 0.0, "no shift is seen at the level 0.05"),
        ([0.8, 0.2], 0.0, "and none where the source is drawn in the estimated class shares"),
        ([0.5, 0.5], 1.0, "it is not of class shares alone"),
    ],
    ids=["none", "shares", "features"],
)
def test_the_kind_of_a_shift_is_said(
    da: Any, shares: list[float], shift: float, sentence: str
) -> None:
    write(shares, shift=shift)
    figures, text = found(da)
    assert sentence in " ".join(text.split())
    if shift == 0:
        assert figures["mlls"] == pytest.approx(shares, abs=0.08)
        low, high = figures["mlls_interval"][0]
        assert low <= figures["mlls"][0] <= high


def test_hidden_labels_have_no_effect(da: Any) -> None:
    write([0.8, 0.2])
    before, _ = found(da)
    with np.load("data/t.npz") as kept:
        np.savez("data/t.npz", x=kept["x"], y=1 - kept["y"])
    after, _ = found(da)
    assert after == before


def test_a_network_makes_the_features(da: Any) -> None:
    write([0.5, 0.5])
    figures, _ = found(da, "network=mlp", "network.bottleneck=[5]")
    assert figures["columns"] == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("level=0.001",), "permutations=2000"),
        (("rows=5",), "rows"),
        (("dataset.root=nowhere",), "nowhere"),
        (("steps=3",), "steps"),
        (("dataset.source=[]",), "there is no source: 'dataset.source=[s]'"),
        (("out=.", "draws=3", "permutations=39"), ".: Is a directory"),
    ],
)
def test_what_cannot_be_is_one_message(da: Any, words: tuple[str, ...], message: str) -> None:
    write([0.5, 0.5])
    ended = da("shift", *ROLES, *words)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert not Path("found.json").exists()


def test_few_samples_are_refused(da: Any) -> None:
    write([0.5, 0.5])
    x = np.zeros((30, 3), np.float32)
    np.savez("data/s.npz", x=x, y=np.arange(30) % 2)
    ended = da("shift", *ROLES)
    assert ended.code == 2
    assert "a test needs 40 source and 20 target samples" in ended.err
