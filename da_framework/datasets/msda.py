"""Marginalised stacked denoising autoencoders: features that survive the loss of words."""

import hashlib
from pathlib import Path
from typing import Annotated

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from da_framework.core.array_cache import load_or_compute
from da_framework.core.types import Count, Fraction, Irrelevant
from da_framework.datasets.base import Array


class Denoising:
    r"""Layers that rebuild rows of which columns are lost, each from the output of the one before.

    .. math:: W = \arg\min_W \mathbb{E} \sum_i \lVert x_i - W \tilde x_i \rVert^2 = P Q^{-1}

    where every column of :math:`\tilde x` but the constant is 0 with the probability ``noise``. The
    expectation is exact: of the scatter :math:`S = \sum_i x_i x_i^\top` and the probabilities
    :math:`q` to survive, :math:`P_{ab} = S_{ab} q_b` and :math:`Q_{ab} = S_{ab} q_a q_b`, with
    :math:`Q_{aa} = S_{aa} q_a`. A layer's output is :math:`\tanh(W x)`. Chen et al., "Marginalized
    Denoising Autoencoders for Domain Adaptation", ICML 2012.

    Args:
        layers: how many.
        noise: probability that a column is lost.
        cache: folder in which denoised rows are kept for other runs; ``None``: they are not.
    """

    def __init__(
        self, *, layers: Count, noise: Fraction, cache: Annotated[str | None, Irrelevant()] = None
    ) -> None:
        self.layers = layers
        self.noise = noise
        self.cache = Path(cache) if cache else None
        self.fitted: dict[str, list[Array]] = {}

    def __call__(self, x: Array, every: Array) -> Array:
        """Rows (n, d) with every layer's output beside them: (n, (1 + layers) d).

        Args:
            x: the rows.
            every: rows of all domains, to which the layers are fitted.
        """
        fit = f"{self.layers} {self.noise} {digest(every)}"

        def make() -> Array:
            if fit not in self.fitted:
                self.fitted[fit] = self.fit(every)
            return denoised(x, self.fitted[fit])

        key = hashlib.sha256(f"{fit} {digest(x)}".encode()).hexdigest()
        return load_or_compute(self.cache, f"denoised-{key[:24]}", len(x), make)

    def fit(self, x: Array) -> list[Array]:
        """The layers, each (d + 1, d), for rows (n, d) of all domains."""
        found: list[Array] = []
        for _ in range(self.layers):
            found.append(self.layer(x))
            x = passed(x, found[-1])
        return found

    def layer(self, x: Array) -> Array:
        """The solution for these rows (n, d): (d + 1, d)."""
        rows = with_constant(x)
        survives = np.full(rows.shape[1], 1 - self.noise, dtype=x.dtype)
        survives[-1] = 1
        scatter = rows.T @ rows
        q = scatter * survives * survives[:, None]
        # a little more, so that a column that no row has can be solved for
        np.fill_diagonal(q, scatter.diagonal() * survives + 1e-5)
        p = (scatter[:-1] * survives).T
        solved: Array = cho_solve(cho_factor(q, overwrite_a=True), p, overwrite_b=True)
        return solved


def denoised(x: Array, layers: list[Array]) -> Array:
    """Rows (n, d) and what every layer makes of them, side by side: (n, (1 + layers) d)."""
    found = [x]
    for layer in layers:
        found.append(passed(found[-1], layer))
    return np.concatenate(found, axis=1)


def digest(x: Array) -> str:
    """That tells rows from all others."""
    return hashlib.sha256(f"{x.shape} {x.dtype}".encode() + x.tobytes()).hexdigest()


def passed(x: Array, layer: Array) -> Array:
    """Rows behind a layer."""
    out: Array = np.tanh(with_constant(x) @ layer)
    return out


def with_constant(x: Array) -> Array:
    """Rows with a column of ones behind."""
    return np.concatenate([x, np.ones((len(x), 1), dtype=x.dtype)], axis=1)
