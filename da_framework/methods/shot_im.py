"""Source-free adaptation by information maximisation."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative
from da_framework.losses.information import negative_mutual_information
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class SHOTIM(Method):
    r"""Source hypothesis transfer (SHOT-IM): the head is frozen, the encoder maximises information.

    .. math:: \min_{f} \; w \left( \overline{H(p(T))} - H(\overline{p(T)}) \right)

    The encoder moves the target to where the head is sure. No source sample is needed:
    ``dataset.source=[] init_from=runs/...``.

    Liang, Hu, Feng, "Do We Really Need to Access the Source Data? Source Hypothesis Transfer for
    Unsupervised Domain Adaptation", ICML 2020, eq. 3. https://arxiv.org/abs/2002.08546
    The paper's source models are trained with ``method.label_smoothing=0.1``, and have batch norm
    in the bottleneck and weight norm in the head, which ours have where the network has them.

    Args:
        network: encoder and head, trained on the source.
        task: classes, domains and samples.
        weight: w of the information term; 1 is the paper's.
    """

    roles: ClassVar[tuple[str, ...]] = ("target",)
    optional: ClassVar = ()
    needs_init_from: ClassVar = True
    exempt_from: ClassVar = {
        "nothing_at_weight_zero": "without its terms there is nothing that it trains on"
    }

    def __init__(
        self, network: Network, task: Task, *, weight: NonNegative, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, **base)
        network.head.requires_grad_(False)
        self.weight = weight

    def train(self, mode: bool = True) -> "SHOTIM":
        super().train(mode)
        # frozen in all it does: without dropout
        self.network.head.train(False)
        return self

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        value = negative_mutual_information(outputs["target"].logits)
        return {"information": Term(value, self.weight)}
