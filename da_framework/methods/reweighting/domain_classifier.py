"""Density ratio by a classifier that tells the domains apart."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from da_framework.core.errors import InputError
from da_framework.core.types import Count


def domain_classifier(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], *, degree: Count
) -> Float[Tensor, " n"]:
    r"""Density ratio by discrimination: a logistic regression tells the domains apart.

    .. math:: w(x) = \frac{n}{m} \, \frac{p(T \mid x)}{p(S \mid x)}

    Every sample is judged by a classifier that was fitted without it (five parts), or the ratio
    would be that of samples learnt by heart. Bickel, Brückner, Scheffer, "Discriminative Learning
    Under Covariate Shift", JMLR 2009. https://jmlr.org/papers/v10/bickel09a.html

    Args:
        source, target: features.
        degree: of the polynomial that the log ratio is; of normal domains 1 is exact where they
            have the same covariance, 2 always. Degree 2 has d²/2 coefficients.

    Raises:
        InputError: fewer than two samples of a domain.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.preprocessing import PolynomialFeatures

    n, m = len(source), len(target)
    if min(n, m) < 2:
        raise InputError(
            f"a domain classifier needs two samples of each domain, but got {n} and {m}"
        )
    x = torch.cat([source, target]).cpu().double().numpy()
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-12)
    if degree > 1:
        x = PolynomialFeatures(degree, include_bias=False).fit_transform(x)
    y = np.repeat([0, 1], [n, m])
    folds = StratifiedKFold(min(5, n, m), shuffle=True, random_state=0)
    p = cross_val_predict(
        LogisticRegression(max_iter=1000), x, y, cv=folds, method="predict_proba"
    )[:n]
    ratio = n / m * p[:, 1] / np.maximum(p[:, 0], 1e-12)
    return torch.as_tensor(ratio, device=source.device)
