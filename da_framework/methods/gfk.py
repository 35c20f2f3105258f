"""Geodesic flow kernel."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.methods.closed_form import Components
from da_framework.methods.pca import principal_directions


class GFK(Components):
    r"""Geodesic flow kernel: integrates over all subspaces between source and target.

    .. math::
        G = \int_0^1 \Phi(t) \Phi(t)^\top dt, \qquad z = (x - \mu) \, G^{1/2}

    Φ is the geodesic between the domains' principal subspaces. With the principal angles
    :math:`\theta_i` between them, G has a closed form in sines and cosines of the angles.

    Gong, Shi, Sha, Grauman, "Geodesic Flow Kernel for Unsupervised Domain Adaptation", CVPR 2012.
    https://doi.org/10.1109/CVPR.2012.6247911
    Departures: both subspaces are of principal components, where the paper also tries partial least
    squares of the source's labels; how many is a key, where the paper has a rule; μ is the mean of
    a sample's own domain, by whose deviations the authors' code divides as well.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        components: of each subspace; at most half the features, as in the paper.
        classifier: on z, whose Euclidean distances are those of the kernel G.
    """

    aligns: ClassVar = True
    source_mean: Tensor
    target_mean: Tensor
    projection: Tensor

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        return geodesic_map(source, target, self.components)

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        return (x - (self.source_mean if source else self.target_mean)) @ self.projection


def geodesic_map(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], components: int
) -> Mapping[str, Tensor]:
    """Both domains' means, and the map along the geodesic between their principal subspaces.

    Args:
        source, target: samples.
        components: of each subspace; at most half the features, as in the paper.
    """
    components = min(components, max(source.shape[1] // 2, 1))
    bases = [principal_directions(x, components) for x in (source, target)]
    count = min(basis.shape[1] for basis in bases)
    flow = geodesic_flow(*(basis[:, :count] for basis in bases))
    return {"source_mean": source.mean(0), "target_mean": target.mean(0), "projection": flow}


def geodesic_flow(
    source: Float[Tensor, "d k"], target: Float[Tensor, "d k"]
) -> Float[Tensor, "d e"]:
    """A root R of the kernel: G = R R'.

    Args:
        source, target: orthonormal columns that span the subspaces.
    """
    turn, cosines, turned = torch.linalg.svd(source.T @ target)
    angles = cosines.clamp(-1, 1).arccos()
    start = source @ turn
    # where the geodesic goes: what the target has beside the source, a direction an angle
    beside = target @ turned.T - start * cosines
    sines = torch.linalg.vector_norm(beside, dim=0)
    beside = beside / sines.clamp_min(1e-12)
    # sin(2θ) / 2θ and (1 - cos(2θ)) / 2θ, whose limits at 0 are 1 and 0
    double = 2 * angles
    sine = torch.sinc(double / torch.pi)
    cosine = torch.where(double > 1e-6, (1 - double.cos()) / double.clamp_min(1e-6), angles)
    blocks = torch.stack(
        [torch.stack([1 + sine, cosine], -1), torch.stack([cosine, 1 - sine], -1)], -2
    )
    values, vectors = torch.linalg.eigh(blocks / 2)
    roots = vectors * values.clamp_min(0).sqrt()[:, None, :]
    frame = torch.stack([start, beside], -1)  # a plane of two directions for each angle
    return torch.einsum("dki,kij->dkj", frame, roots).flatten(1)
