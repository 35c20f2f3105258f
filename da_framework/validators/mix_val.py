"""MixVal: whether the labels of two target samples hold for what lies between them."""

import torch

from da_framework.core.batch import Samples, as_input
from da_framework.core.errors import InputError
from da_framework.core.types import Share
from da_framework.validators.validation import Validation

MIXED_AT_ONCE = 512
"""Samples that are mixed at once: the inputs themselves may be on disk."""


def mix_val(outputs: Validation, *, share: Share) -> float:
    r"""MixVal: share of mixed target samples that keep the label of their larger part; in [0, 1].

    .. math:: \tfrac12 \sum_{P \in \{\text{same}, \text{different}\}} \frac{1}{|P|}
        \sum_{(i, j) \in P} [\hat y(\lambda x_i + (1 - \lambda) x_j) = \hat y(x_i)]

    Each sample is mixed with one other, drawn once; pairs of one predicted class and of two count
    equally: the first say whether classes are dense, the second whether borders lie between them.
    The paper ranks models by both and averages the ranks; a single model has no rank, so the two
    shares are averaged. A collapsed model, which has no pair of two classes, is given half at most.
    Fooled by a model that is sure and wrong.
    Hu et al., "Mixed Samples as Probes for Unsupervised Model Selection in Domain Adaptation",
    NeurIPS 2023.

    Args:
        outputs: with the model and its target (labels hidden).
        share: :math:`\lambda`, of the first sample, above a half.

    Raises:
        InputError: the inputs are texts, which cannot be mixed, or the share is a half or less.
    """
    target = outputs["target"]
    if target.x.dtype == torch.int32:
        raise InputError("validator=mix_val mixes inputs, which words cannot be")
    if share <= 0.5:
        raise InputError(f"validator.share={share}: the first row has the larger share, above 0.5")
    generator = torch.Generator().manual_seed(0)
    other = torch.randperm(len(target.x), generator=generator).to(target.x.device)
    predicted = []
    for start in range(0, len(other), MIXED_AT_ONCE):
        first = slice(start, start + MIXED_AT_ONCE)
        x, second = as_input(target.x[first]), as_input(target.x[other[first]])
        between = Samples(*target[:4]).at(first)._replace(x=share * x + (1 - share) * second)
        predicted.append(outputs.evaluate_samples(between).logits.argmax(1))
    labels = target.logits.argmax(1)
    kept = torch.cat(predicted) == labels
    same = labels == labels[other]
    return sum(kept[pairs].float().mean().item() for pairs in (same, ~same) if pairs.any()) / 2
