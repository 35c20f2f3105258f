"""Marginalised stacked denoising autoencoders: features that survive the loss of words."""

import hashlib
from pathlib import Path
from typing import Annotated

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from da_framework.core.array_cache import load_or_compute
from da_framework.core.room import require_memory
from da_framework.core.types import Count, External, Fraction, Irrelevant
from da_framework.datasets.base import Array


class Denoising:
    r"""Denoising layers that rebuild samples with columns lost, each from the output of the last.

    .. math:: W = \arg\min_W \mathbb{E} \sum_i \lVert x_i - W \tilde x_i \rVert^2 = P Q^{-1}

    where every column of :math:`\tilde x` but the constant is 0 with the probability ``noise``. The
    expectation is exact: of the scatter :math:`S = \sum_i x_i x_i^\top` and the probabilities
    :math:`q` to survive, :math:`P_{ab} = S_{ab} q_b` and :math:`Q_{ab} = S_{ab} q_a q_b`, with
    :math:`Q_{aa} = S_{aa} q_a`. A layer's output is :math:`\tanh(W x)`. Chen et al., "Marginalized
    Denoising Autoencoders for Domain Adaptation", ICML 2012.

    Args:
        layers: how many.
        noise: probability that a column is lost.
        cache: folder in which denoised samples are kept for other runs; ``None``: they are not.
    """

    def __init__(
        self,
        *,
        layers: Count,
        noise: Fraction,
        cache: Annotated[str | None, Irrelevant(), External(off=None)] = None,
    ) -> None:
        self.layers = layers
        self.noise = noise
        self.cache = Path(cache) if cache else None
        self.fitted: dict[str, list[Array]] = {}

    def __call__(self, x: Array, every: Array) -> Array:
        """Samples (n, d) with every layer's output beside them: (n, (1 + layers) d).

        Args:
            x: the samples.
            every: samples of all domains, to which the layers are fitted.
        """
        fit = f"{self.layers} {self.noise} {hash_array(every)}"

        # samples and the outputs of all layers; the scatter, the same weighted, and its factors
        need = x.itemsize * (x.size * (1 + self.layers) + 3 * (x.shape[1] + 1) ** 2)
        mend = "fewer columns, or fewer dataset.denoise.layers"
        require_memory(need, f"denoising {x.shape[1]} columns", mend=mend)

        def denoise() -> Array:
            if fit not in self.fitted:
                self.fitted[fit] = self.fit(every)
            return stack_outputs(x, self.fitted[fit])

        key = hashlib.sha256(f"{fit} {hash_array(x)}".encode()).hexdigest()
        return load_or_compute(self.cache, f"denoised-{key[:24]}", len(x), denoise)

    def fit(self, x: Array) -> list[Array]:
        """Fits the layers, each (d + 1, d), to samples (n, d) of all domains."""
        layers: list[Array] = []
        for _ in range(self.layers):
            layers.append(self.fit_layer(x))
            x = apply_layer(x, layers[-1])
        return layers

    def fit_layer(self, x: Array) -> Array:
        """Fits one layer (d + 1, d), in closed form, to samples (n, d)."""
        rows = append_constant(x)
        survives = np.full(rows.shape[1], 1 - self.noise, dtype=x.dtype)
        survives[-1] = 1
        scatter = rows.T @ rows
        q = scatter * survives * survives[:, None]
        # a little more, so that a column that is 0 everywhere can be solved for
        np.fill_diagonal(q, scatter.diagonal() * survives + 1e-5)
        p = (scatter[:-1] * survives).T
        solved: Array = cho_solve(cho_factor(q, overwrite_a=True), p, overwrite_b=True)
        return solved


def stack_outputs(x: Array, layers: list[Array]) -> Array:
    """Samples (n, d) and the outputs of every layer, side by side: (n, (1 + layers) d)."""
    outputs = [x]
    for layer in layers:
        outputs.append(apply_layer(outputs[-1], layer))
    return np.concatenate(outputs, axis=1)


def hash_array(x: Array) -> str:
    """The sha256 of an array's shape, type and values."""
    return hashlib.sha256(f"{x.shape} {x.dtype}".encode() + x.tobytes()).hexdigest()


def apply_layer(x: Array, layer: Array) -> Array:
    """The output of a layer."""
    out: Array = np.tanh(append_constant(x) @ layer)
    return out


def append_constant(x: Array) -> Array:
    """Samples with a column of ones appended."""
    return np.concatenate([x, np.ones((len(x), 1), dtype=x.dtype)], axis=1)
