"""No transfer: a support vector machine with a Gaussian kernel."""

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated, Any, ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from da_framework.core.batch import Task
from da_framework.core.errors import InputError
from da_framework.core.types import Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.closed_form import FAR, ClosedForm
from da_framework.networks.network import Network

Cost = Positive | Annotated[list[Positive], Field(min_length=1)]
"""What a sample on the wrong side costs, or several such numbers to choose among."""

MOST_STEPS = 10**7
"""Of the solver, as in libsvm itself: with a kernel that is not symmetric it may find no end."""


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
        cost: C, what a sample on the wrong side costs; of several, that which predicts most labels
            right of each half of the labelled samples, learnt from the other half, and of equals
            the first. Every second sample of a class is in one half, whatever the map, which is
            that of all samples.
    """

    baseline: ClassVar = True
    reference: Tensor
    pairs: Tensor
    bias: Tensor
    offsets: Tensor

    def __init__(
        self, network: Network, task: Task, *, cost: Cost, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, classifier="svm", **base)
        self.costs = cost if isinstance(cost, list) else [cost]

    def kernel(
        self, x: Float[Tensor, "rows e"], reference: Float[Tensor, "n e"]
    ) -> Float[Tensor, "rows n"]:
        """The kernel of samples with those that the machine has learnt from."""
        return torch.exp(-torch.cdist(x, reference).square() / x.shape[1])

    def learn(self, z: Float[Tensor, "n e"], y: Int[Tensor, " n"]) -> Mapping[str, Tensor]:
        classes = torch.unique(y).tolist()
        bias = z.new_full((len(self.task.classes),), FAR)
        bias[classes] = 0.0
        signs = list(combinations(classes, 2))
        pairs, offsets = z.new_zeros(len(signs), len(z)), z.new_zeros(len(signs))
        if signs:
            kernel = self.kernel(z, z)
            model = fit_machine(kernel, y, self.choose_cost(kernel, y))
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

    def choose_cost(self, kernel: Float[Tensor, "n n"], y: Int[Tensor, " n"]) -> float:
        """C, by two folds where there are several."""
        if len(self.costs) == 1:
            return self.costs[0]
        folds = alternate(y)
        halves = [torch.nonzero(folds == fold).squeeze(1) for fold in (0, 1)]
        if any(len(torch.unique(y[half])) < 2 for half in halves):
            raise InputError(
                f"method.cost={self.costs}: two folds choose among them, each with labelled "
                "samples of two classes, and there are not enough; give one number"
            )

        def count_right(cost: float) -> int:
            right = 0
            for held, learnt in (halves, halves[::-1]):
                model = fit_machine(kernel[learnt][:, learnt], y[learnt], cost)
                predicted = model.predict(kernel[held][:, learnt].cpu().numpy())
                right += int((predicted == y[held].cpu().numpy()).sum())
            return right

        return max(self.costs, key=count_right)

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


def fit_machine(kernel: Float[Tensor, "n n"], y: Int[Tensor, " n"], cost: float) -> Any:
    """The machine of libsvm; columns of the kernel are of samples as those that are learnt from.

    Raises:
        InputError: its numbers are no longer finite.
    """
    from sklearn.svm import SVC

    try:
        machine = SVC(kernel="precomputed", C=cost, max_iter=MOST_STEPS)
        return machine.fit(kernel.T.cpu().numpy(), y.cpu().numpy())
    except ValueError as error:
        raise InputError(
            f"the SVM cannot be fitted: products of samples are as large as "
            f"{kernel.abs().max():.0e}; dataset.scale=source brings tables and arrays to one scale"
        ) from error


def alternate(y: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """0 and 1 in turn for the samples of each class, in their order."""
    folds = torch.zeros_like(y)
    for label in torch.unique(y):
        members = torch.nonzero(y == label).squeeze(1)
        folds[members] = torch.arange(len(members)).to(y) % 2
    return folds
