"""Source-free methods that learn from what is predicted of a sample's nearest neighbours."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from da_framework.core.batch import Outputs, Task
from da_framework.core.types import Count
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class NeighborhoodKeys(MethodKeys):
    """The keys of every method that looks at neighbours.

    Attributes:
        neighbors: K, how many nearest samples are looked at.
    """

    neighbors: Count


class NeighborhoodMethod(Method):
    """Keeps direction of features and prediction of every target sample, and finds the nearest.

    Both are made anew in every refresh, and those of a batch in its step. A sample is not its own
    neighbour; nearest is by the cosine of features. Encoder and head are trained.

    Args:
        network: encoder and head, trained on the source.
        task: classes, domains and samples.
        neighbors: K, how many nearest samples are looked at.
    """

    roles: ClassVar[tuple[str, ...]] = ("target",)
    optional: ClassVar[tuple[str, ...]] = ()
    refreshes: ClassVar[tuple[str, ...]] = ("target",)
    needs_init_from: ClassVar[bool] = True
    kept_features: Tensor
    kept_predictions: Tensor

    def __init__(
        self, network: Network, task: Task, *, neighbors: Count, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, **base)
        self.neighbors = neighbors
        rows = task.rows["target"]
        self.register_buffer("kept_features", torch.zeros(rows, network.feature_dim))
        self.register_buffer("kept_predictions", torch.zeros(rows, network.classes))

    def reset_fitted(self, task: Task) -> None:
        super().reset_fitted(task)
        rows = task.rows["target"]
        for name in ("kept_features", "kept_predictions"):
            kept = self.get_buffer(name)
            self.register_buffer(name, kept.new_zeros(rows, kept.shape[1]))

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        self.keep(outputs["target"])

    @torch.no_grad()
    def keep(self, target: Outputs) -> None:
        """Puts what is made of these samples now in the place of what was."""
        features, predictions = normalize(target.features), target.logits.softmax(1)
        self.kept_features[target.row] = features.to(self.kept_features)
        self.kept_predictions[target.row] = predictions.to(self.kept_predictions)

    @torch.no_grad()
    def nearest(self, rows: Int[Tensor, " n"], count: int) -> Int[Tensor, "n k"]:
        """The nearest other samples of each, the nearest first; fewer where there are fewer."""
        cosine = self.kept_features[rows] @ self.kept_features.T
        cosine.scatter_(1, rows[:, None], -torch.inf)
        return cosine.topk(min(count, cosine.shape[1] - 1), dim=1).indices

    def agreement(
        self, p: Float[Tensor, "n k"], neighbors: Int[Tensor, "n m"]
    ) -> Float[Tensor, "n m"]:
        """Inner product of each prediction with those that are kept of its neighbours."""
        kept = self.kept_predictions[neighbors].to(p)
        return (kept @ p[:, :, None]).squeeze(2)
