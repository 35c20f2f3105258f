"""What a source-free model is sure of becomes the labelled half of the target."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from da_framework.core.batch import Batch, Objective, Outputs, Samples, Task, Term
from da_framework.core.types import NonNegative, Positive
from da_framework.methods.base import Method, MethodKeys
from da_framework.methods.mixup import draw_partners, draw_share
from da_framework.networks.network import Network

UNSURE, NOT_SPLIT = -1, -2
"""In place of a label: of samples without one, and of all before they are split."""


class SHOTPlusPlus(Method):
    r"""Labeling transfer (SHOT++): sure predictions are labels, the rest is learnt by MixMatch.

    .. math::
        \min_{f,\, c} \; \overline{- y^\top \log p(\tilde x)} + \frac{w \, t}{k}
        \overline{\lVert q - p(\tilde x) \rVert^2}, \qquad q \propto p(x)^{1 / T}

    The first mean is over mixtures of sure samples and the second over those of the others; t is
    the progress. The target is split once, before the first step: of each predicted class the
    surest keep their prediction as label y, as large a share as has less entropy than the mean.
    Inputs, and labels y or guesses q, are mixed as by ``mixup`` with partners of the whole batch,
    and a share of at least a half for the sample itself.

    Liang, Hu, Wang, He, Feng, "Source Data-absent Unsupervised Domain Adaptation through Hypothesis
    Transfer and Labeling Transfer", TPAMI 2021, section 3.4. https://arxiv.org/abs/2012.07297
    MixMatch: Berthelot et al., NeurIPS 2019. https://arxiv.org/abs/1905.02249
    The last of three stages: train on the source, then ``dataset.source=[]`` with ``method=shot``,
    or ``shot_rotation`` for square images as in the paper, then this with ``init_from`` that run.
    Departures: one view makes a guess, not two; a batch has sure and unsure samples
    as they come, not half and half; the head goes on, and is not drawn anew.
    Pitfalls. A class that the model is surely wrong about stays wrong: its errors are now labels.
    Users did not reach the paper's VisDA (their tracker, issue 3); its "source-only++" has seen the
    target, by this stage (issue 4). w weighs small squares: 100 is usual.

    Args:
        network: encoder and head, as SHOT has left them.
        task: classes, domains and samples.
        weight: w at the end of training.
        temperature: T, by which guesses are sharpened.
        concentration: a of Beta(a, a), of which the shares of mixtures are drawn.
    """

    roles: ClassVar[tuple[str, ...]] = ("target",)
    optional: ClassVar = ()
    refreshes: ClassVar = ("target",)
    needs_init_from: ClassVar = True
    needs_raw_inputs: ClassVar = True
    perturbs_inputs: ClassVar = True
    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "whatever the weight, sure samples are learnt from",
        "refreshes_anew": "the target is split once, by the model that it begins with",
        "knows_samples_by_their_row": "what a sample is mixed with is drawn for its place",
    }
    pseudo_labels: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        temperature: Positive,
        concentration: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.temperature = temperature
        self.concentration = concentration
        self.register_per_sample("pseudo_labels", role="target", value=NOT_SPLIT)

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        if (self.pseudo_labels != NOT_SPLIT).any():
            return
        logits = outputs["target"].logits
        entropy, predicted = torch.special.entr(logits.softmax(1)).sum(1), logits.argmax(1)
        share = (entropy < entropy.mean()).double().mean().item()
        labels = torch.full_like(predicted, UNSURE)
        for label in torch.unique(predicted).tolist():
            rows = torch.nonzero(predicted == label).squeeze(1)
            labels[rows[entropy[rows].argsort(stable=True)][: int(share * len(rows))]] = label
        self.pseudo_labels.copy_(labels)

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        target = Samples(*map(self.gather, batch["target"]))
        sure = (labels := self.pseudo_labels[target.row]) >= 0
        with torch.no_grad():
            guesses = (self.network(target.x, target.domain)[1] / self.temperature).softmax(1)
        y = torch.where(sure[:, None], one_hot(labels.clamp_min(0), guesses.shape[1]), guesses)
        drawn = draw_share(self.concentration, self.generator)
        share = max(drawn, 1 - drawn)
        other = draw_partners(target.domain, self.generator, apart=bool(self.task.widths))
        x = share * target.x + (1 - share) * target.x[other]
        y = share * y + (1 - share) * y[other]
        outputs = Outputs(x, *target[1:], *self.network(x, target.domain))
        losses = cross_entropy(outputs.logits, y, reduction="none")
        squares = (outputs.logits.softmax(1) - y).square().mean(1)
        known = (sure * losses).sum() / sure.sum().clamp_min(1)
        guessed = (~sure * squares).sum() / (~sure).sum().clamp_min(1)
        terms = {"sure": Term(known), "unsure": Term(guessed, self.weight * self.progress)}
        yield Objective({**terms, **self.extras({"target": outputs})})
