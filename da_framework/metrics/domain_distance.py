"""How far apart the features of two domains are."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from da_framework.core.batch import Outputs
from da_framework.losses.mmd import bandwidths, mmd


def domain_mmd(source: Outputs, target: Outputs, *, rows: int = 2000) -> float:
    """Squared MMD between features: five kernels around the mean squared distance, biased.

    In [0, 2], whatever the unit of the features.

    Args:
        source, target: outputs of the two domains.
        rows: samples of each side, at most; the same few are drawn at every evaluation.
    """
    draws = torch.Generator().manual_seed(0)
    s, t = (
        features[torch.randperm(len(features), generator=draws)[:rows].to(features.device)]
        for features in (source.features, target.features)
    )
    if not s.shape[1]:  # a projection of data that are all alike leaves nothing to differ in
        return 0.0
    # the widths follow the unit, so it may be any: in this one, no square overflows
    unit = torch.maximum(s.abs().max(), t.abs().max()).clamp_min(torch.finfo(s.dtype).tiny)
    s, t = s / unit, t / unit
    widths = bandwidths(s, t, policy="mean", factors=s.new_tensor([0.25, 0.5, 1.0, 2.0, 4.0]))
    return mmd(s, t, bandwidths=widths, geometric_bandwidths=True).item()


def domain_accuracy(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], *, rows: int
) -> float:
    r"""Accuracy on held-out features of a ridge regression that tells source from target.

    Ridge regression on ±1, fitted on one half and tested on the other; both domains weigh the
    same. It has a closed form, and so is computed at every evaluation. From it the proxy
    A-distance is :math:`2 (1 - 2 \epsilon)` with the error ε: Ben-David et al., "A Theory of
    Learning from Different Domains", Machine Learning 2010, section 3.

    Args:
        source, target: features of two samples or more.
        rows: of each side, at most; the same few at every evaluation.
    """
    draws = torch.Generator().manual_seed(0)
    halves = []
    for features in (source, target):
        order = torch.randperm(len(features), generator=draws)[:rows].to(features.device)
        halves.append(features[order].double().tensor_split(2))
    (s, s_held), (t, t_held) = halves
    both = torch.cat([s, t])
    centre = (s.mean(0) + t.mean(0)) / 2
    # 0 only where features have collapsed: then anything may be told by nothing
    scale = (both - centre).square().mean().sqrt().clamp_min(torch.finfo(both.dtype).tiny)
    y = torch.cat([torch.ones(len(s)), -torch.ones(len(t))]).to(both)
    share = torch.where(y > 0, 1 / len(s), 1 / len(t))
    x = (both - centre) / scale
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    # of more columns than samples, the same solution by the samples' products
    if x.shape[1] > len(x):
        w = x.T @ torch.linalg.solve(x @ x.T + 1e-3 * torch.diag(1 / share), y)
    else:
        ridge = 1e-3 * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        w = torch.linalg.solve(x.T @ (share[:, None] * x) + ridge, x.T @ (share * y))
    right = [
        (sign * ((held - centre) / scale @ w[:-1] + w[-1]) > 0).double().mean()
        for held, sign in ((s_held, 1), (t_held, -1))
    ]
    return torch.stack(right).mean().item()


def logistic_domain_accuracy(source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]) -> float:
    """Accuracy on held-out features of a logistic regression that tells source from target.

    Fitted on one half of all samples and tested on the other; both domains weigh the same. Slower
    than ``domain_accuracy`` and not the same number: logistic regression is what the self-check of
    methods was calibrated with.

    Args:
        source, target: features of all samples of the two domains.
    """
    from sklearn.linear_model import LogisticRegression

    x = torch.cat([source, target]).numpy()
    y = np.concatenate([np.full(len(side), label) for label, side in enumerate((source, target))])
    order = np.random.default_rng(0).permutation(len(y))
    fitted, held = order[::2], order[1::2]
    scale = x[fitted].std() + 1e-12
    classifier = LogisticRegression(class_weight="balanced", max_iter=1000)
    classifier.fit(x[fitted] / scale, y[fitted])
    right = classifier.predict(x[held] / scale) == y[held]
    return float(np.mean([right[y[held] == label].mean() for label in (0, 1)]))
