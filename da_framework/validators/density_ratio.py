"""How many times likelier a row is in the target than in the source."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def weights(source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]) -> Float[Tensor, " n"]:
    r"""Density ratio of the source's rows, by a logistic regression that tells the domains apart.

    .. math:: w(x) = \frac{n}{m} \, \frac{p(T \mid x)}{p(S \mid x)}

    Every row is judged by a classifier that was fitted without it (five parts), or the ratio would
    be that of rows learnt by heart. Bickel, Brückner, Scheffer, "Discriminative Learning Under
    Covariate Shift", JMLR 2009. https://jmlr.org/papers/v10/bickel09a.html

    Args:
        source, target: features.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    x = torch.cat([source, target]).double().cpu().numpy()
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-12)
    y = np.repeat([0, 1], [len(source), len(target)])
    folds = StratifiedKFold(min(5, len(source), len(target)), shuffle=True, random_state=0)
    p = cross_val_predict(
        LogisticRegression(max_iter=1000), x, y, cv=folds, method="predict_proba"
    )[: len(source)]
    ratio = len(source) / len(target) * p[:, 1] / np.maximum(p[:, 0], 1e-12)
    return torch.as_tensor(ratio)
