from typing import Any

import numpy as np
import scipy.linalg
import torch

from da_framework.estimator import Estimator
from da_framework.methods.jpda import joint_differences, least_directions, norm_of_products

RNG = np.random.default_rng(4)
CENTRES = RNG.normal(size=(3, 5))  # so near that each round labels the target anew
Y = np.arange(30) % 3
X = CENTRES[Y] + RNG.normal(size=(30, 5))
T = CENTRES[np.arange(24) % 3] + RNG.normal(size=(24, 5)) + 1


def by_hand(x: Any, y: Any, t: Any, *, rounds: int, components: int, mu: float) -> Any:
    """The loop over all rows, in the primal form, with scipy's solver."""
    n, m = len(x), len(t)
    rows = np.concatenate([x, t])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    centring = np.eye(n + m) - 1 / (n + m)
    pseudo = np.full(m, -1)
    least = np.inf
    for _ in range(rounds):
        alike, unlike = np.zeros((2, n + m, n + m))
        for a in range(3):
            for b in range(3):
                e = np.concatenate([(y == a) / n, (pseudo == b) / -m])
                (alike if a == b else unlike)[:] += np.outer(e, e)
        means = alike / np.linalg.norm(alike) - mu * unlike / np.linalg.norm(unlike)
        left = rows.T @ means @ rows + 0.1 * np.eye(rows.shape[1])
        values, vectors = scipy.linalg.eigh(left, rows.T @ centring @ rows)
        least = min(least, values[0])
        a = vectors[:, :components]
        z = rows @ (a / np.linalg.norm(a, axis=0))
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        pseudo = y[((z[n:, None] - z[None, :n]) ** 2).sum(-1).argmin(1)]
    return z, pseudo, least


def test_equals_the_loop_written_by_hand() -> None:
    for mu in (0.0, 0.5):
        before: Any = None
        for rounds in (1, 2, 3):
            z, labels, least = by_hand(X, Y, T, rounds=rounds, components=3, mu=mu)
            assert before is None or (labels != before).any()
            before = labels
            keys = {"rounds": rounds, "components": 3, "ridge": 0.1, "kernel": "primal"}
            model = Estimator("jpda", discrimination=mu, **keys).fit(X, Y, T)
            np.testing.assert_allclose(np.abs(model.transform(T)), np.abs(z[len(X) :]), atol=1e-7)
            assert (model.predict(T) == labels).all()
        assert (least < 0) == (mu > 0)  # the case that JDA's solver does not know


def test_with_equal_counts_of_classes_pairs_of_equal_classes_are_jdas() -> None:
    """Then each column is the difference of class means, times the share of a class."""
    y, z = torch.arange(6) % 3, torch.arange(9) % 3
    alike, unlike = joint_differences(y, z, 9, 3)
    rows = torch.cat([torch.randn(6, 2), torch.randn(9, 2)]).double()
    gaps = torch.stack([rows[:6][y == c].mean(0) - rows[6:][z == c].mean(0) for c in range(3)])
    torch.testing.assert_close(alike.T @ rows, gaps / 3)
    others = [(a, b) for a in range(3) for b in range(3) if a != b]
    gaps = torch.stack([rows[:6][y == a].mean(0) - rows[6:][z == b].mean(0) for a, b in others])
    torch.testing.assert_close(unlike.T @ rows, gaps / 3)


def test_where_nothing_varies_a_direction_takes_what_costs_least() -> None:
    """V = diag(4, 0): with the second coordinate free, a' L a is least at a = (1, -1/2) / 2."""
    loss = torch.tensor([[1.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    varying = torch.diag(torch.tensor([4.0, 0.0], dtype=torch.float64))
    a = least_directions(loss, varying, 2)
    assert a.shape == (2, 1)
    torch.testing.assert_close(a / a[0], torch.tensor([[1.0], [-0.5]], dtype=torch.float64))
    torch.testing.assert_close(a.T @ varying @ a, torch.ones(1, 1, dtype=torch.float64))


def test_the_eigenvalues_are_those_of_scipy() -> None:
    a, b = (torch.as_tensor(RNG.normal(size=(5, 5))) for _ in range(2))
    loss, varying = a + a.T, b @ b.T
    found = least_directions(loss, varying, 3)
    values = scipy.linalg.eigh(loss.numpy(), varying.numpy(), eigvals_only=True)
    expected = torch.diag(torch.as_tensor(values[:3]))
    torch.testing.assert_close(found.T @ loss @ found, expected, atol=1e-9, rtol=1e-9)


def test_the_norm_of_products_is_the_same_from_either_side() -> None:
    for shape in ((7, 4), (4, 7)):
        columns = torch.as_tensor(RNG.normal(size=shape))
        for products in (columns.T @ columns, columns @ columns.T):
            torch.testing.assert_close(norm_of_products(columns), products.square().sum().sqrt())


def test_samples_without_a_feature_are_taken() -> None:
    fitted = Estimator("jpda").fit(0 * X, Y, 0 * X)
    assert fitted.method_(torch.as_tensor(0 * X))[1].isfinite().all()
