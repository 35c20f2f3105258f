"""No transfer: a support vector machine with a Gaussian kernel."""

from collections.abc import Mapping
from itertools import combinations
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


class KernelSVM(ClosedForm):
    r"""Kernel support vector machine: the widest margin of a Gaussian kernel, without transfer.

    .. math:: k(x, x') = \exp(-\lVert x - x' \rVert^2 / d), \qquad
        f_{ab}(x) = \sum_i \alpha_i k(x, x_i) + \beta_{ab}

    for every two classes a and b, over d features; the class with the most votes wins, of equals
    the first. That is what libsvm does where it is not told otherwise, and so the baseline of
    papers that call it. Chang, Lin, "LIBSVM: A Library for Support Vector Machines", ACM
    Transactions on Intelligent Systems and Technology 2011.
    https://doi.org/10.1145/1961189.1961199

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        cost: C, what a sample on the wrong side costs.
    """

    baseline: ClassVar = True
    reference: Tensor
    pairs: Tensor
    bias: Tensor
    offsets: Tensor

    def __init__(
        self, network: Network, task: Task, *, cost: Positive, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, classifier="svm", **base)
        self.cost = cost

    def kernel(
        self, x: Float[Tensor, "rows e"], reference: Float[Tensor, "n e"]
    ) -> Float[Tensor, "rows n"]:
        """The kernel of samples with those that the machine has learnt from."""
        return torch.exp(-torch.cdist(x, reference).square() / x.shape[1])

    def learn(self, z: Float[Tensor, "n e"], y: Int[Tensor, " n"]) -> Mapping[str, Tensor]:
        from sklearn.svm import SVC

        classes = torch.unique(y).tolist()
        bias = z.new_full((len(self.task.classes),), FAR)
        bias[classes] = 0.0
        signs = list(combinations(classes, 2))
        pairs, offsets = z.new_zeros(len(signs), len(z)), z.new_zeros(len(signs))
        if signs:
            try:
                model = SVC(kernel="precomputed", C=self.cost).fit(
                    # a row has the products of a sample as the one that is learnt from
                    self.kernel(z, z).T.cpu().numpy(),
                    y.cpu().numpy(),
                )
            except ValueError as error:  # whose numbers are no longer finite
                raise InputError(
                    f"the SVM cannot be fitted: inputs are as large as {z.abs().max():.0e}; "
                    "dataset.scale=source brings tables and arrays to one scale"
                ) from error
            place = {label: index for index, label in enumerate(classes)}
            support = torch.as_tensor(model.support_, dtype=torch.long, device=z.device)
            # of two classes alone scikit-learn turns the sign
            sign = -1.0 if len(classes) == 2 else 1.0
            pulls = sign * torch.as_tensor(model.dual_coef_).to(z)
            for index, (first, other) in enumerate(signs):
                for label, row in ((first, place[other] - 1), (other, place[first])):
                    inside = y[support] == label
                    pairs[index, support[inside]] = pulls[row, inside]
            offsets = sign * torch.as_tensor(model.intercept_).to(z)
        return {"reference": z, "pairs": pairs, "offsets": offsets, "bias": bias}

    def judge(self, z: Float[Tensor, "rows e"]) -> Float[Tensor, "rows k"]:
        decisions = self.kernel(z, self.reference) @ self.pairs.T + self.offsets
        votes = self.bias.expand(len(z), -1).clone()
        known = torch.nonzero(self.bias == 0).squeeze(1).tolist()
        for index, (first, other) in enumerate(combinations(known, 2)):
            won = (decisions[:, index] > 0).to(z)
            votes[:, first] += won
            votes[:, other] += 1 - won
        # of equals the first
        return votes - torch.arange(votes.shape[1]).to(z) / (2 * votes.shape[1])
