"""No transfer: a linear support vector machine on the features as they are."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.batch import Task
from da_framework.core.errors import InputError
from da_framework.core.types import Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.closed_form import FAR, ClosedForm
from da_framework.networks.network import Network


class LinearSVM(ClosedForm):
    r"""Linear support vector machine: the widest margin on labelled samples alone, no transfer.

    .. math:: \min_{w, b} \tfrac12 \lVert w \rVert^2
        + C \sum_i \max(0, 1 - y_i (w^\top f(x_i) + b))

    What papers of shallow adaptation compare with. Solved in its dual, by scikit-learn: its matrix
    has a row and a column for every labelled row, however wide they are. Cortes, Vapnik,
    "Support-Vector Networks", Machine Learning 1995. https://doi.org/10.1007/BF00994018

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        cost: :math:`C`, what a sample on the wrong side costs.
    """

    baseline: ClassVar = True

    def __init__(
        self, network: Network, task: Task, *, cost: Positive, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, classifier="svm", **base)
        self.cost = cost

    def learn(self, z: Float[Tensor, "n e"], y: Int[Tensor, " n"]) -> Mapping[str, Tensor]:
        from sklearn.svm import SVC

        products = (z @ z.T).cpu().numpy()
        weight = z.new_zeros(len(self.task.classes), z.shape[1])
        bias = z.new_full((len(weight),), FAR)
        classes = torch.unique(y).tolist()
        for label in classes if len(classes) > 1 else ():
            try:
                model = SVC(kernel="precomputed", C=self.cost).fit(
                    products, (y == label).cpu().numpy()
                )
            except ValueError as error:  # whose numbers are no longer finite
                raise InputError(
                    f"the linear SVM cannot be fitted: inputs are as large as {z.abs().max():.0e}; "
                    "dataset.scale=source brings tables and arrays to one scale"
                ) from error
            pull = torch.as_tensor(model.dual_coef_[0]).to(z)
            weight[label] = pull @ z[torch.as_tensor(model.support_, device=z.device)]
            bias[label] = float(model.intercept_[0])
        if len(classes) == 1:
            bias[classes] = 0.0
        return {"weight": weight, "bias": bias}
