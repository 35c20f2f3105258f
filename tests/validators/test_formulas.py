"""Every validator against a few lines of NumPy, written from the formula of its docstring."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.model_selection import StratifiedKFold

from da_framework.config.plugins import conf_dir
from da_framework.core import batch
from da_framework.core.batch import UNLABELLED, Outputs
from da_framework.methods.reweighting.domain_classifier import domain_classifier
from da_framework.validators.bnm import bnm
from da_framework.validators.class_ami import class_ami
from da_framework.validators.dev import dev
from da_framework.validators.entropy import entropy
from da_framework.validators.information_maximization import information_maximization
from da_framework.validators.iwcv import iwcv
from da_framework.validators.mmd import mmd
from da_framework.validators.nearest_source import nearest_source
from da_framework.validators.silhouette import silhouette
from da_framework.validators.snd import snd
from da_framework.validators.source_accuracy import source_accuracy

RNG = np.random.default_rng(0)
N, M, K = 40, 31, 3
Y = RNG.integers(K, size=N)
S = RNG.normal(size=(N, 2)) + Y[:, None]
T = RNG.normal(size=(M, 2)) + 0.8
ZS = 2 * np.eye(K)[Y] + RNG.normal(size=(N, K))
ZT = 1.5 * RNG.normal(size=(M, K))
P = np.exp(ZT) / np.exp(ZT).sum(1, keepdims=True)
WRONG = (ZS.argmax(1) != Y) * 1.0
GROUPS = np.arange(M) % K
ELSEWHERE = {
    "mix_val": "test_mix_val: by hand, of the mixed inputs",
    "reverse_validation": "test_module: training by hand from the target back",
}


def outputs(features: np.ndarray[Any, Any] = T) -> dict[str, Outputs]:
    """Both sides in double precision; the target's labels hidden."""

    def side(f: Any, z: Any, y: Any, domain: int) -> Outputs:
        rows, (f, z) = torch.arange(len(f)), map(torch.as_tensor, (f, z))
        return Outputs(f, torch.as_tensor(y), torch.full_like(rows, domain), rows, f, z)

    return {"source": side(S, ZS, Y, 0), "target": side(features, ZT, [UNLABELLED] * M, 1)}


def held_out_ratio() -> Any:
    """n/m times the odds of being target, by classifiers that have not seen the sample."""
    x = np.concatenate([S, T])
    x = (x - x.mean(0)) / x.std(0)
    y, ratio = np.repeat([0, 1], [N, M]), np.empty(N)
    for fitted, held in StratifiedKFold(5, shuffle=True, random_state=0).split(x, y):
        p = LogisticRegression(max_iter=1000).fit(x[fitted], y[fitted]).predict_proba(x)
        held = held[held < N]
        ratio[held] = N / M * p[held, 1] / p[held, 0]
    return ratio


def by_dev() -> float:
    w = held_out_ratio()
    eta = -np.cov(w * WRONG, w, bias=True)[0, 1] / np.var(w)
    return float(-((w * WRONG).mean() + eta * w.mean() - eta))


def by_iwcv() -> float:
    w = held_out_ratio()
    return float((w * (1 - WRONG)).sum() / w.sum())


def by_snd() -> float:
    p, entropies = P / np.linalg.norm(P, axis=1, keepdims=True), []
    for i in range(M):
        others = [np.exp(p[i] @ p[j] / 0.05) for j in range(M) if j != i]
        share = np.array(others) / sum(others)
        entropies.append(-(share * np.log(share)).sum())
    return float(np.mean(entropies))


def by_mmd() -> float:
    z = np.concatenate([S, T])
    squared = ((z[:, None] - z[None]) ** 2).sum(2)
    mean = squared.sum() / (len(z) * (len(z) - 1))
    k = np.mean([np.exp(-squared / (f * mean)) for f in (0.5, 2.0)], axis=0)
    return float(-(k[:N, :N].mean() + k[N:, N:].mean() - 2 * k[:N, N:].mean()))


def by_silhouette() -> float:
    y, values = ZT.argmax(1), []
    distances = np.linalg.norm(T[:, None] - T[None], axis=2)
    for i in range(M):
        same = (y == y[i]) & (np.arange(M) != i)
        a = distances[i][same].mean()
        b = min(distances[i][y == c].mean() for c in set(y) - {y[i]})
        values.append((b - a) / max(a, b))
    return float(np.mean(values))


def by_nearest_source() -> float:
    nearest = np.linalg.norm(T[:, None] - S[None], axis=2).argmin(1)
    return float((ZT.argmax(1) == Y[nearest]).mean())


CASES: dict[str, tuple[Callable[[], float], float]] = {
    "bnm": (lambda: bnm(outputs()), np.linalg.norm(P, "nuc") / (M * K) ** 0.5),
    "class_ami": (
        lambda: class_ami(outputs(50 * np.eye(K)[GROUPS])),
        adjusted_mutual_info_score(ZT.argmax(1), GROUPS),
    ),
    "dev": (lambda: dev(outputs()), by_dev()),
    "entropy": (lambda: entropy(outputs()), (P * np.log(P)).sum(1).mean()),
    "information_maximization": (
        lambda: information_maximization(outputs()),
        (P * np.log(P)).sum(1).mean() - (P.mean(0) * np.log(P.mean(0))).sum(),
    ),
    "iwcv": (lambda: iwcv(outputs()), by_iwcv()),
    "mmd": (lambda: mmd(outputs(), factors=[0.5, 2.0]), by_mmd()),
    "nearest_source": (lambda: nearest_source(outputs()), by_nearest_source()),
    "silhouette": (lambda: silhouette(outputs()), by_silhouette()),
    "snd": (lambda: snd(outputs(), temperature=0.05), by_snd()),
    "source_accuracy": (lambda: source_accuracy(outputs()), 1 - WRONG.mean()),
}


def test_every_validator_has_a_formula() -> None:
    names = {path.stem for path in (conf_dir() / "validator").glob("*.yaml")}
    assert names == CASES.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_score_is_that_of_the_formula(name: str) -> None:
    score, expected = CASES[name]
    assert score() == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", ["snd", "nearest_source"])
def test_in_blocks_of_rows_the_score_is_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = CASES[name][0]()
    monkeypatch.setattr(batch, "MOST_NUMBERS", 1)
    monkeypatch.setattr(batch, "FEWEST_ROWS", 3)
    assert len(batch.row_blocks(M, N)) > 2
    assert CASES[name][0]() == pytest.approx(whole, rel=1e-12)


def test_the_ratio_is_judged_on_samples_that_its_classifier_has_not_seen() -> None:
    x, y = torch.as_tensor(S), torch.as_tensor(T)
    np.testing.assert_allclose(
        domain_classifier(x, y, degree=1).numpy(), held_out_ratio(), rtol=1e-9
    )
    # of noise in many dimensions a classifier learns every sample by heart: then all weights are 0
    noise = torch.as_tensor(RNG.normal(size=(60, 200)))
    assert domain_classifier(noise[:30], noise[30:], degree=1).mean() > 0.3
