from typing import Any

import numpy as np
import scipy.linalg

from da_framework.estimator import Estimator

RNG = np.random.default_rng(4)
CENTRES = RNG.normal(size=(3, 5))  # so near that each round labels the target anew
Y = np.arange(30) % 3
X = CENTRES[Y] + RNG.normal(size=(30, 5))
T = CENTRES[np.arange(24) % 3] + RNG.normal(size=(24, 5)) + 1


def by_hand(x: Any, y: Any, t: Any, *, rounds: int, components: int, ridge: float) -> Any:
    """The authors' loop, over all rows, in the primal form."""
    n, m = len(x), len(t)
    rows = np.concatenate([x, t])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    centring = np.eye(n + m) - 1 / (n + m)
    e = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])
    first, pseudo = np.outer(e, e) * 3, np.array([], dtype=int)
    for _ in range(rounds):
        means = first.copy()
        for c in range(3 if len(pseudo) else 0):
            in_source, other = (y == c) * 1.0, (pseudo == c) * 1.0
            e = np.concatenate([in_source / in_source.sum(), -other / max(other.sum(), 1)])
            means += np.outer(e, e)
        means /= np.linalg.norm(means)
        left = rows.T @ means @ rows + ridge * np.eye(rows.shape[1])
        _, vectors = scipy.linalg.eigh(rows.T @ centring @ rows, left)
        a = vectors[:, ::-1][:, :components]
        z = rows @ (a / np.linalg.norm(a, axis=0))
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        pseudo = y[((z[n:, None] - z[None, :n]) ** 2).sum(-1).argmin(1)]
    return z, pseudo


def test_equals_the_loop_written_by_hand() -> None:
    before: Any = None
    for rounds in (1, 2, 4):
        z, labels = by_hand(X, Y, T, rounds=rounds, components=3, ridge=0.1)
        # each round labels the target otherwise than the one before, or nothing was tested
        assert before is None or (labels != before).any()
        before = labels
        model = Estimator("jda", rounds=rounds, components=3, ridge=0.1, kernel="primal")
        fitted = model.fit(X, Y, T)
        np.testing.assert_allclose(np.abs(fitted.transform(T)), np.abs(z[len(X) :]), atol=1e-9)
        assert (fitted.predict(T) == labels).all()


def test_one_round_is_tca() -> None:
    keys = {"components": 2, "ridge": 0.3, "normalize_features": True, "normalize_projection": True}
    single = Estimator("jda", rounds=1, **keys).fit(X, Y, T).transform(T)
    np.testing.assert_allclose(single, Estimator("tca", **keys).fit(X, Y, T).transform(T))


def test_brings_the_classes_means_together() -> None:
    """The last round's components weigh the differences of the classes' means, the first's not."""
    keys = {"components": 2, "ridge": 0.01, "kernel": "primal", "normalize_projection": False}
    y = np.arange(24) % 3

    def apart(rounds: int) -> float:
        model = Estimator("jda", rounds=rounds, **keys).fit(X, Y, T)
        s, t = model.transform(X, domain="source"), model.transform(T)
        gaps = [s[c == Y].mean(0) - t[y == c].mean(0) for c in range(3)]
        return float(np.square(gaps).sum() / np.concatenate([s, t]).var(0).sum())

    assert apart(4) < apart(1)
