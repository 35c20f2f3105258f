"""Adaptation of batch norm's statistics alone."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from da_framework.core.batch import Task
from da_framework.core.errors import InputError
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.domain_norm import convert_domain_batchnorm, has_batchnorm
from da_framework.networks.network import Network


class AdaBN(Method):
    r"""Adaptive batch normalization: trained on the source, with batch-norm statistics per domain.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f), \qquad
        \hat x = \gamma \, \frac{x - \mu_d}{\sqrt{\sigma_d^2 + \epsilon}} + \beta
        \quad \text{for } x \text{ of domain } d

    Weights, scale γ and shift β are shared, and learnt from labelled samples alone; unlabelled
    samples of the target move its statistics and nothing else.

    Li, Wang, Shi, Liu, Hou, "Revisiting Batch Normalization For Practical Domain Adaptation", 2016,
    algorithm 1. https://arxiv.org/abs/1603.04779
    Departure: the target's statistics are followed during training as the source's are, where the
    paper computes them over all of the target once the network is trained.

    Args:
        network: encoder and head, with batch norm somewhere.
        task: classes, domains and samples.
    """

    needs_batch_norm: ClassVar = True
    exempt_from: ClassVar[Mapping[str, str]] = {
        "two_processes_equal_one": "statistics over several processes need GPUs",
    }

    def __init__(self, network: Network, task: Task, **base: Unpack[MethodKeys]) -> None:
        if not has_batchnorm(network):
            raise InputError(
                "AdaBN adapts batch norm, but the network has none; network=convnet has it, "
                "and network=mlp with network.backbone.batch_norm=true"
            )
        convert_domain_batchnorm(network, len(task.domains))
        super().__init__(network, task, **base)
