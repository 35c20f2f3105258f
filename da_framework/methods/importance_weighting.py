"""Source samples count as much as the target is like them."""

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Literal, Unpack

from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term, as_input
from da_framework.core.types import Share
from da_framework.methods.base import Method, MethodKeys
from da_framework.methods.reweighting.effective_sample_size import effective_sample_size
from da_framework.networks.network import Network

COLLAPSED_SHARE = 0.1
"""Effective sample size, as a share of the source, under which weights have collapsed."""


class ImportanceWeighting(Method):
    r"""Importance weighting: source samples count as often as they are likelier in the target.

    .. math::
        \min_{f,\, c} \; \frac{\sum_i w_i^{\gamma} \, L_y(c \circ f)(x_i)}{\sum_i w_i^{\gamma}},
        \qquad
        w(x) = \frac{p_T(x)}{p_S(x)}

    What is learnt is then the target's risk, as far as the two domains differ in x alone (covariate
    shift) and the source is everywhere the target is. Weights are made every ``refresh_every``
    steps (of the inputs, once is enough) over all training samples, scaled to mean 1. The effective
    sample size (Kish), in samples, is logged beside the losses: few samples of large weight are a
    small training set.

    Shimodaira, "Improving Predictive Inference Under Covariate Shift by Weighting the
    Log-likelihood Function", Journal of Statistical Planning and Inference 2000.
    https://doi.org/10.1016/S0378-3758(00)00115-4
    Departures: the ratio is of the network's features, not of its inputs; the weights are brought
    to mean 1 over each batch as well, or the few samples of a collapsed ratio would make steps that
    diverge.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        ratio: estimates the density ratio at each source row, given the rows of both domains.
        of: what a sample is: its ``features``, which are what the head decides by, of few
            dimensions and without what the classes do not need; or its ``inputs`` as they are, for
            tables: the pixels of images tell any two domains apart, and the weights collapse.
        exponent: γ; 1 is the ratio itself, 0 no weights at all; between them fewer samples are lost
            for some bias.
    """

    refreshes: ClassVar = ("source", "target")
    exempt_from: ClassVar = {
        "terms_have_gradient": "weighs the source's own loss; what it adds is a figure to read"
    }

    weights: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        ratio: Callable[[Tensor, Tensor], Tensor],
        of: Literal["features", "inputs"],
        exponent: Share,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.ratio = ratio
        self.of = of
        self.exponent = exponent
        self.register_per_sample("weights", role="source", value=1.0)

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        source, target = outputs["source"], outputs["target"]
        ratios = self.ratio(self.read_samples(source), self.read_samples(target)).pow(self.exponent)
        # a mean of nothing but zeros stays what it is, and is warned of
        scaled = ratios / ratios.mean().clamp_min(1e-30)
        self.weights[source.row] = scaled.to(self.weights)

    def read_samples(self, outputs: Outputs) -> Tensor:
        """What the densities are of."""
        if self.of == "features":
            return outputs.features
        return as_input(outputs.x[:]).flatten(1)

    def classification(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        source, plain = outputs["source"], super().classification(outputs)
        losses = self.label_losses(source, "source")
        weights = self.weights[source.row]
        value = (weights * losses).sum() / weights.sum().clamp_min(1e-30)
        return {**plain, "source": Term(value, plain["source"].weight)}

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        # of weight 0: a figure beside the losses
        return {"effective_sample_size": Term(self.effective, 0.0)}

    @property
    def effective(self) -> Tensor:
        """Samples that the weighted source is worth."""
        return effective_sample_size(self.weights)

    def warnings(self, outputs: Mapping[str, Outputs]) -> Iterator[str]:
        rows, effective = len(self.weights), self.effective.item()
        if effective < COLLAPSED_SHARE * rows:
            yield (
                f"importance weights have collapsed: {rows} source rows are worth {effective:.0f} "
                "(effective sample size); a lower method.exponent keeps more of them"
            )
