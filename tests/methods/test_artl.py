from typing import Any

import numpy as np
import pytest
import torch

from da_framework.estimator import Estimator
from da_framework.methods.artl import neighbour_laplacian

RNG = np.random.default_rng(4)
CENTRES = RNG.normal(size=(3, 4))  # so near that each round labels the target anew
Y = np.arange(30) % 3
X = CENTRES[Y] + RNG.normal(size=(30, 4))
T = CENTRES[np.arange(24) % 3] + RNG.normal(size=(24, 4)) + 1


def graph_by_hand(rows: Any, neighbours: int) -> Any:
    cosines = rows @ rows.T
    edges = np.zeros_like(cosines)
    for i, row in enumerate(cosines):
        for j in np.argsort(-row)[: neighbours + 1]:
            edges[i, j] = row[j]
    edges = np.maximum(edges, edges.T)
    root = np.diag(edges.sum(1) ** -0.5)
    return np.eye(len(rows)) - root @ edges @ root


def by_hand(x: Any, y: Any, t: Any, *, rounds: int) -> Any:
    """The paper's solution over all rows, with λ = 10, γ = 2, σ = 0.1 and 4 neighbours."""
    n, m = len(x), len(t)
    rows = np.concatenate([x, t])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    kernel = np.exp(-((rows[:, None] - rows[None]) ** 2).sum(-1) / 2)
    chosen = np.diag(np.repeat([1.0, 0.0], [n, m]))
    answers = np.concatenate([np.eye(3)[y], np.zeros((m, 3))])
    pseudo = y[((rows[n:, None] - rows[None, :n]) ** 2).sum(-1).argmin(1)]
    for _ in range(rounds):
        e = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])
        matrix = 3 * np.outer(e, e)
        for c in range(3):
            here, there = (y == c) * 1.0, (pseudo == c) * 1.0
            e = np.concatenate([here / here.sum(), -there / max(there.sum(), 1)])
            matrix += np.outer(e, e)
        matrix /= np.linalg.norm(matrix)
        inner = chosen + 10 * matrix + 2 * graph_by_hand(rows, 4)
        beta = np.linalg.inv(inner @ kernel + 0.1 * np.eye(n + m)) @ chosen @ answers
        scores = kernel[n:] @ beta
        pseudo = scores.argmax(1)
    return scores


def test_equals_the_solution_written_by_hand() -> None:
    before: Any = None
    for rounds in (1, 4):
        scores = by_hand(X, Y, T, rounds=rounds)
        assert before is None or np.abs(scores - before).max() > 1e-3
        before = scores
        model = Estimator("artl", rounds=rounds, smoothness=2.0, neighbours=4).fit(X, Y, T)
        _, logits = model.method_(torch.as_tensor(T))
        np.testing.assert_allclose(logits, scores, atol=1e-9)


def test_the_solution_is_where_the_objective_has_no_slope() -> None:
    """Its gradient in β by autograd, at the machine that was fitted."""
    model = Estimator("artl", rounds=1).fit(X, Y, T)
    method: Any = model.method_
    labels = torch.cat([torch.as_tensor(Y), torch.zeros(len(T), dtype=torch.long)])
    known = torch.arange(len(labels)) < len(X)
    gram = method.kernel(method.rows, method.rows)
    graph = neighbour_laplacian(method.rows, 10)
    e = method.differences(method.rows, labels, len(X))
    beta = method.fit(gram, graph, e, labels, known).requires_grad_()
    scores = gram @ beta
    misses = (torch.nn.functional.one_hot(labels, 3) - scores)[known].square().sum()
    length = (beta * (gram @ beta)).sum()
    apart = (e.T @ scores).square().sum()
    rough = (scores * (graph @ scores)).sum()
    (misses + 0.1 * length + 10 * apart + rough).backward()
    torch.testing.assert_close(beta.grad, torch.zeros_like(beta), atol=1e-9, rtol=0)


@pytest.mark.parametrize("neighbours", [1, 4, 100])
def test_the_graph_s_laplacian_has_nothing_below_zero_and_a_constant(neighbours: int) -> None:
    rows = torch.nn.functional.normalize(torch.rand(12, 5).double())
    laplacian = neighbour_laplacian(rows, neighbours)
    values = torch.linalg.eigvalsh(laplacian)
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert values[-1] <= 2
    np.testing.assert_allclose(laplacian, graph_by_hand(rows.numpy(), min(neighbours, 11)))


def test_samples_that_point_away_from_each_other_are_no_neighbours() -> None:
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).double()
    assert torch.equal(neighbour_laplacian(rows, 3), torch.zeros(4, 4).double())
