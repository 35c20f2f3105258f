import math
from typing import Any

import numpy as np
import scipy.integrate
import torch

from da_framework.estimator import Estimator
from da_framework.methods.gfk import geodesic_flow


def test_the_kernel_is_the_integral_over_the_geodesic() -> None:
    rng = np.random.default_rng(7)
    source, target = (np.linalg.qr(rng.normal(size=(7, 3)))[0] for _ in range(2))
    turn, cosines, turned = np.linalg.svd(source.T @ target)
    angles = np.arccos(np.clip(cosines, -1, 1))
    beside = (target @ turned.T - source @ turn * cosines) / np.sin(angles)

    def outer(t: float) -> Any:
        phi = source @ turn * np.cos(t * angles) + beside * np.sin(t * angles)
        return (phi @ phi.T).ravel()

    expected, _ = scipy.integrate.quad_vec(outer, 0, 1)
    root = geodesic_flow(torch.as_tensor(source), torch.as_tensor(target))
    np.testing.assert_allclose(root @ root.T, expected.reshape(7, 7), atol=1e-9)


def test_one_subspace_is_its_projection() -> None:
    basis = torch.linalg.qr(torch.randn(6, 2, dtype=torch.float64))[0]
    root = geodesic_flow(basis, basis)
    torch.testing.assert_close(root @ root.T, basis @ basis.T, atol=1e-9, rtol=0)


def test_subspaces_at_right_angles_share_evenly() -> None:
    """Half of either, and the mean of sine times cosine, 1 / pi, between them."""
    source, other = torch.eye(4, dtype=torch.float64).chunk(2, dim=1)
    root = geodesic_flow(source, other)
    torch.testing.assert_close((root @ root.T).diagonal(), torch.full((4,), 0.5).double())
    actual = (root @ root.T)[:2, 2:].abs().sum(1)
    torch.testing.assert_close(actual, torch.full((2,), 1 / math.pi).double())


def test_no_subspace_has_more_than_half_the_features() -> None:
    x = np.random.default_rng(8).normal(size=(30, 5))
    model = Estimator("gfk", components=20).fit(x, np.arange(30) % 2, x + 1)
    assert model.transform(x).shape == (30, 4)
