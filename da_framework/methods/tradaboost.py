"""Boosting with a few target labels, on ready features."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from da_framework.core.batch import Outputs, Task
from da_framework.core.errors import InputError
from da_framework.core.types import Count
from da_framework.methods.base import MethodKeys
from da_framework.methods.boosting import tradaboost
from da_framework.methods.closed_form import ClosedForm, linear_weights
from da_framework.methods.reweighting.effective_sample_size import effective_sample_size
from da_framework.networks.network import Network

FORGOTTEN_SHARE = 0.1
"""Effective sample size, as a share of the source, under which boosting has forgotten it."""


class TrAdaBoost(ClosedForm):
    r"""TrAdaBoost: boosting that forgets the source samples which contradict the target's labels.

    .. math::
        w_i \leftarrow w_i \beta^{[h_t(x_i) \ne y_i]} \; (i \in S), \qquad
        w_i \leftarrow w_i \beta_t^{-[h_t(x_i) \ne y_i]} \; (i \in T), \qquad
        \hat y(x) = \arg\max_c \sum_{t \ge \lceil N/2 \rceil} \ln \tfrac{1}{\beta_t} [h_t(x) = c]

    :math:`\beta_t` is a round's odds of being wrong on the target,
    :math:`\beta = 1 / (1 + \sqrt{2 \ln n / N})`; the learners are logistic regressions.

    Dai, Yang, Xue, Yu, "Boosting for Transfer Learning", ICML 2007, algorithm 1.
    https://doi.org/10.1145/1273496.1273521
    Departures: more than two classes are as in SAMME; ``methods/boosting.py`` has the rest.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        rounds: N.
    """

    roles: ClassVar = ("source", "target_labelled")
    optional: ClassVar = ()
    votes: Tensor
    source_weights: Tensor

    def __init__(
        self, network: Network, task: Task, *, rounds: Count, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, classifier="logistic", **base)
        self.rounds = rounds
        self.gives_probabilities = False  # votes
        self.refreshes = self.roles  # type: ignore[misc]

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        from sklearn.linear_model import LogisticRegression

        x = {
            role: role_outputs.features.double().cpu().numpy()
            for role, role_outputs in outputs.items()
        }
        y = {role: role_outputs.y.cpu().numpy() for role, role_outputs in outputs.items()}
        if len({*y["source"].tolist(), *y["target_labelled"].tolist()}) < 2:
            raise InputError("TrAdaBoost needs two classes, but all labelled samples are of one")
        boosted = tradaboost(
            *(x["source"], y["source"], x["target_labelled"], y["target_labelled"]),
            learner=lambda: LogisticRegression(max_iter=10000),
            rounds=self.rounds,
            classes=len(self.task.classes),
        )
        like = outputs["source"].features.double()
        models = [linear_weights(model, len(self.task.classes), like) for model in boosted.learners]
        weight, bias = (torch.stack(tensors) for tensors in zip(*models, strict=True))
        votes, last = (
            torch.as_tensor(values).to(like) for values in (boosted.votes, boosted.weights[-1])
        )
        self.keep({"votes": votes, "weight": weight, "bias": bias})
        self.keep({"source_weights": last[: len(like)]})

    def judge(self, z: Float[Tensor, "rows d"]) -> Float[Tensor, "rows k"]:
        scores = torch.einsum("rd,tkd->trk", z, self.weight) + self.bias[:, None]
        votes = one_hot(scores.argmax(2), len(self.task.classes)) * self.votes[:, None, None]
        return votes.sum(0)

    def warnings(self, outputs: Mapping[str, Outputs]) -> Iterator[str]:
        if self.fitted:
            weights = self.source_weights
            effective = float(effective_sample_size(weights))
            if effective < FORGOTTEN_SHARE * len(weights):
                yield (
                    f"boosting has forgotten the source: its {len(weights)} rows are worth "
                    f"{effective:.0f} (effective sample size); fewer method.rounds keep more"
                )
