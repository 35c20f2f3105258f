"""What every method in closed form is: a map of the features, and a classifier on what it makes."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Unpack

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from da_framework.core.batch import Batch, Objective, Outputs, Task
from da_framework.core.types import Count
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network

FAR = -1e9
"""Logit of a class that no labelled sample has."""


class ClosedForm(Method):
    """A map that is solved for, given all training samples at once; no step of a gradient.

    It is fitted to the features of the network's encoder, which stays as it is: ready features
    (``network=identity``), or those of a trained network (``init_from``). The labelled samples, as
    mapped, are what the classifier learns. Everything is computed in double precision.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        classifier: on the mapped samples: ``1nn`` (Euclidean), ``logistic`` or ``svm``
            (linear, C = 1; both scikit-learn's).
    """

    closed_form: ClassVar = True
    weight: Tensor
    bias: Tensor
    reference: Tensor
    labels: Tensor
    exempt_from: ClassVar[Mapping[str, str]] = {
        "takes_any_batch": "is fitted to all rows at once",
        "takes_extra_terms": "has no objective that they could be added to",
        "two_processes_equal_one": "is fitted in one process",
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        classifier: Literal["1nn", "logistic", "svm"],
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network.requires_grad_(False), task, **base)
        self.classifier = classifier
        self.gives_probabilities = classifier == "logistic"
        labelled = ("target_labelled",) if "target_labelled" in task.rows else ()
        self.refreshes = ("source", "target", *labelled)  # type: ignore[misc]

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        """What the map needs, by the names of the buffers that keep it; of no map, nothing."""
        return {}

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        """Samples of one side, mapped; without a map as they are."""
        return x

    @property
    def fitted(self) -> bool:
        """Whether there is a classifier already."""
        return "bias" in self._buffers or "labels" in self._buffers

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        return iter(())

    def parts(self) -> dict[str, Any]:
        return {}

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        x = {role: side.features.double() for role, side in outputs.items()}
        self.keep(self.solve(x["source"], outputs["source"].y, x["target"]))
        labelled = [role for role in ("source", "target_labelled") if role in outputs]
        z = torch.cat([self.transform(x[role], source=role == "source") for role in labelled])
        self.keep(self.learn(z, torch.cat([outputs[role].y for role in labelled])))

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows k"]]:
        features, _ = self.network(x, domain)
        if not self.fitted:
            return features, features.new_zeros(len(x), len(self.task.classes))
        if domain is None:
            z = self.transform(features.double(), source=False)
            return z, self.judge(z)
        sides = {True: domain < self.task.sources, False: domain >= self.task.sources}
        rows = torch.cat([torch.nonzero(inside).squeeze(1) for inside in sides.values()])
        z = torch.cat(
            [self.transform(features[inside].double(), source=s) for s, inside in sides.items()]
        )[rows.argsort()]
        return z, self.judge(z)

    def learn(self, z: Float[Tensor, "n e"], y: Int[Tensor, " n"]) -> Mapping[str, Tensor]:
        """Fits the classifier to mapped samples; gives its tensors by the buffers' names."""
        if self.classifier == "1nn":
            return {"reference": z, "labels": y}
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC

        model = (
            LogisticRegression(max_iter=10000)
            if self.classifier == "logistic"
            else LinearSVC(random_state=0, max_iter=100000)
        ).fit(z.cpu().numpy(), y.cpu().numpy())
        return dict(
            zip(("weight", "bias"), linear_weights(model, len(self.task.classes), z), strict=True)
        )

    def judge(self, z: Float[Tensor, "rows e"]) -> Float[Tensor, "rows k"]:
        """Logits; of the nearest neighbour, by how much a class's nearest sample is farther."""
        if self.classifier != "1nn":
            return z @ self.weight.T + self.bias
        reference, labels = self.reference, self.labels
        squared = z.square().sum(1)[:, None] + reference.square().sum(1) - 2 * z @ reference.T
        # not by scatter_reduce, which could be exported for one number of rows alone
        classes = range(len(self.task.classes))
        by_class = [torch.where(labels == label, squared, -FAR).amin(1) for label in classes]
        nearest = torch.stack(by_class, dim=1)
        return nearest.amin(1, keepdim=True) - nearest

    def reset_fitted(self, task: Task) -> None:
        super().reset_fitted(task)
        self._buffers.clear()

    def keep(self, fitted: Mapping[str, Tensor]) -> None:
        """Keeps tensors as buffers: what is fitted survives in checkpoints."""
        for name, value in fitted.items():
            self.register_buffer(name, value)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Tensor], prefix: str, *rest: Any
    ) -> None:
        """Makes room first: what was fitted is as large as the data it was fitted to."""
        for name, value in state_dict.items():
            buffer = name.removeprefix(prefix)
            if name.startswith(prefix) and "." not in buffer:
                self.register_buffer(buffer, torch.empty_like(value))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Components(ClosedForm):
    """A method in closed form that keeps a number of directions.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        components: how many.
        classifier: on the mapped samples.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        components: Count,
        classifier: Literal["1nn", "logistic", "svm"],
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, classifier=classifier, **base)
        self.components = components


def linear_weights(model: Any, classes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear classifier of scikit-learn, a row for every class there is."""
    pair = [torch.as_tensor(values).to(like) for values in (model.coef_, model.intercept_)]
    if len(model.classes_) == 2:  # scikit-learn has one row for both
        pair = [torch.cat([-values, values]) / 2 for values in pair]
    weight = like.new_zeros(classes, pair[0].shape[1])
    bias = like.new_full((classes,), FAR)
    weight[model.classes_], bias[model.classes_] = pair
    return weight, bias
