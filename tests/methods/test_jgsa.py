from typing import Any

import numpy as np
import scipy.linalg
import torch

from da_framework.estimator import Estimator
from da_framework.methods.jgsa import class_scatters

RNG = np.random.default_rng(4)
CENTRES = RNG.normal(size=(3, 4))  # so near that each round labels the target anew
Y = np.arange(30) % 3
X = CENTRES[Y] + RNG.normal(size=(30, 4))
T = CENTRES[np.arange(24) % 3] + RNG.normal(size=(24, 4)) + 1


def nearest(z: Any, y: Any, u: Any) -> Any:
    return y[((u[:, None] - z[None]) ** 2).sum(-1).argmin(1)]


def by_hand(x: Any, y: Any, t: Any, *, rounds: int, components: int) -> Any:
    """The paper's eq. 13 block by block, over all rows, with α = 1, β = 0.1 and μ = 0.7."""
    n, m, d = len(x), len(t), x.shape[1]
    x, t = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, t))
    between, within = np.zeros((2, d, d))
    for c in range(3):
        inside = x[y == c]
        gap = inside.mean(0) - x.mean(0)
        between += len(inside) * np.outer(gap, gap)
        within += (inside - inside.mean(0)).T @ (inside - inside.mean(0))
    scatter = t.T @ (np.eye(m) - 1 / m) @ t
    pseudo = nearest(x, y, t)
    for _ in range(rounds):
        e = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])
        matrix = 3 * np.outer(e, e)
        norm = np.linalg.norm(matrix)
        for c in range(3):
            here, there = (y == c) * 1.0, (pseudo == c) * 1.0
            e = np.concatenate([here / here.sum(), -there / max(there.sum(), 1)])
            matrix += np.outer(e, e)
        matrix /= norm
        ss, st, tt = matrix[:n, :n], matrix[:n, n:], matrix[n:, n:]
        eye = np.eye(d)
        cost = np.block(
            [
                [x.T @ ss @ x + eye + 0.1 * within, x.T @ st @ t - eye],
                [t.T @ st.T @ x - eye, t.T @ tt @ t + 1.7 * eye],
            ]
        )
        gain = scipy.linalg.block_diag(0.1 * between, 0.7 * scatter)
        _, vectors = scipy.linalg.eigh(gain, cost + 1e-9 * np.eye(2 * d))
        maps = vectors[:, ::-1][:, :components]
        maps /= np.linalg.norm(maps, axis=0)
        pseudo = nearest(x @ maps[:d], y, t @ maps[d:])
    return x @ maps[:d], t @ maps[d:], pseudo


def test_equals_the_blocks_written_by_hand() -> None:
    before: Any = None
    for rounds in (1, 3):
        z, u, labels = by_hand(X, Y, T, rounds=rounds, components=2)
        assert before is None or (labels != before).any()
        before = labels
        model = Estimator("jgsa", rounds=rounds, components=2, variance=0.7).fit(X, Y, T)
        np.testing.assert_allclose(np.abs(model.transform(T)), np.abs(u), atol=1e-8)
        mapped = model.transform(X, domain="source")
        np.testing.assert_allclose(np.abs(mapped), np.abs(z), atol=1e-8)
        assert (model.predict(T) == labels).all()


def test_the_scatters_add_up_to_that_of_all_samples() -> None:
    x, y = torch.as_tensor(X), torch.as_tensor(Y)
    between, within = class_scatters(x, y)
    torch.testing.assert_close(between + within, 29 * torch.cov(x.T))
    assert torch.linalg.matrix_rank(between) == 2  # three means about their own


def test_the_maps_become_one_where_nothing_else_is_asked_for() -> None:
    model = Estimator("jgsa", components=2, closeness=1e8).fit(X, Y, T)
    method: Any = model.method_
    torch.testing.assert_close(
        method.source_projection, method.target_projection, atol=1e-6, rtol=0
    )
