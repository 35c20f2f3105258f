"""Training on the labelled target samples, from the weights of a source run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Unpack

from torch import nn

from da_framework.core.batch import Batch, Objective, Task
from da_framework.core.types import Fraction
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class FineTuning(Method):
    r"""Fine-tuning: the network of a former run, trained further on labelled target samples alone.

    .. math:: \min_{f,\, c} \; L_y(c \circ f; T_{\text{labelled}}),
        \qquad (f, c)_0 = \text{those of } \texttt{init\_from}

    With ``network.freeze=all`` it is a linear probe, with ``init_head=fresh`` it learns other
    classes, with ``optimizer.factor`` stages learn at rates of their own, with ``init_share`` and
    ``init_function`` it begins with a mixture of the run's weights and random ones. Gradual
    unfreezing lets the head learn first, then the last stage of the encoder, and so on down:
    Howard, Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018, section
    3.3. Yosinski et al., "How transferable are features in deep neural networks?", NeurIPS 2014.
    https://arxiv.org/abs/1411.1792

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        gradual: share of training at which the last stage is unfrozen, the others evenly before;
            0 trains all of them from the start.
    """

    roles: ClassVar = ("target_labelled",)
    optional: ClassVar = ()
    needs_init_from: ClassVar = True

    def __init__(
        self, network: Network, task: Task, *, gradual: Fraction, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, **base)
        self.gradual = gradual
        self.always_frozen = len(network.frozen)

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        if not self.gradual:
            return super().parts()
        others = [module for name, module in self.named_children() if name != "network"]
        learning = {
            name: [stage]
            for name, stage in self.network.stages().items()
            if name not in self.network.frozen
        }
        # an optimizer each: they begin one after the other
        return {"head": [self.network.head, *others], **learning}

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        if not self.gradual:
            yield from super().objectives(batch)
            return
        stages = tuple(self.network.stages())
        thawed = int(self.progress / self.gradual * len(stages))
        first = max(len(stages) - thawed, self.always_frozen)
        self.network.freeze(stages[:first])
        for objective in super().objectives(batch):
            yield objective._replace(updates=("head", *stages[first:]))
