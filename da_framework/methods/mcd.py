"""Two classifiers that show where the target is unlike the source."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Unpack

from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from da_framework.core.batch import Batch, Objective, Outputs, Task, Term
from da_framework.core.types import Count, NonNegative
from da_framework.losses.discrepancy import l1_discrepancy
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.domain_norm import has_batchnorm
from da_framework.networks.network import Network


class MCD(Method):
    r"""Maximum classifier discrepancy: two heads raise it on the target, the encoder lowers it.

    .. math::
        A: \min_{f,\, c_1,\, c_2} L_y \qquad
        B: \min_{c_1,\, c_2} L_y - w \, d(T) \qquad
        C: \min_{f} w \, d(T)

    Two heads look for target samples that they can disagree on; the encoder leaves them none.
    :math:`L_y = L_y(c_1 \circ f) + L_y(c_2 \circ f)`, and d is the mean absolute difference
    of the heads' probabilities on the target. A step is A, B and then C several times.

    Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018,
    section 3.3. https://arxiv.org/abs/1712.02560
    Evaluated is the mean of both heads' logits, the ensemble of the authors' code.
    Departure: source and target go through the encoder together in all three moves, so that batch
    norm normalises a sample alike in each; ``batch_norm=separate`` keeps them apart. Where they
    share no statistics, C passes the target alone.

    Args:
        network: encoder and one head; the other is made like it.
        task: classes, domains and samples.
        weight: w of the discrepancy in B and C; 1 is the paper's.
        repeats: of C in a step; the paper has 2, 3 and 4.
    """

    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "the heads learn from the labels twice a step"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        repeats: Count,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.second = network.another_head()
        self.weight = weight
        self.repeats = repeats

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows k"]]:
        features, logits = self.network(x, domain)
        return features, (logits + self.second(features)) / 2

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        return {"encoder": [self.network.encoder], "heads": [self.network.head, self.second]}

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        outputs = self.outputs(batch)
        terms = {**self.supervised(outputs), **self.extras(outputs)}
        yield Objective(terms, updates=("encoder", "heads"))
        outputs = self.outputs(batch)
        terms = {**self.supervised(outputs), **self.disagreement(outputs, -self.weight)}
        yield Objective(terms, updates=("heads",))
        independent = self.batch_norm == "separate" or not has_batchnorm(self.network)
        passed = {"target": batch["target"]} if independent else batch
        for _ in range(self.repeats):
            yield Objective(
                self.disagreement(self.outputs(passed), self.weight), updates=("encoder",)
            )

    def supervised(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        """The weighted joint loss of both heads."""
        second = {r: o._replace(logits=self.second(o.features)) for r, o in outputs.items()}
        other = {f"{role}_second": term for role, term in self.classification(second).items()}
        return {**self.classification(outputs), **other}

    def disagreement(self, outputs: Mapping[str, Outputs], weight: float) -> Mapping[str, Term]:
        """The discrepancy of both heads on the target."""
        target = outputs["target"]
        value = self.discrepancy(target.logits, self.second(target.features))
        return {"discrepancy": Term(value, weight)}

    def discrepancy(self, first: Tensor, second: Tensor) -> Tensor:
        """How much two predictions of the same samples differ, from their logits."""
        return l1_discrepancy(first, second)
