"""Sharpness-aware entropy minimisation on reliable samples, with recovery."""

import math

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from da_framework.core.types import NonNegative, Positive, Share
from da_framework.losses.entropy import row_entropy
from da_framework.stream_methods.base import MakeOptimizer, require_gradient
from da_framework.stream_methods.tent import Tent


class SAR(Tent):
    r"""Sharpness-aware and reliable entropy minimization: flat minima, and recovery.

    .. math::
        \min_{\theta} \; \max_{\lVert \epsilon \rVert \le \rho} \;
        \frac1{|S|} \sum_{i \in S} H(p_i(\theta + \epsilon)), \qquad S = \{ i : H(p_i) < E_0 \}

    The gradient is taken at :math:`\theta + \rho \, g / \lVert g \rVert`, g that of the samples
    with little entropy; of those, the ones whose entropy is little there too are learnt from. Where
    the moving average of that entropy falls below ``recover_below``, all that was learnt is
    forgotten. At radius 0, without recovery, it is TENT on the samples with little entropy.

    Niu, Wu, Zhang, Wen, Chen, Zhao, Tan, "Towards Stable Test-Time Adaptation in Dynamic Wild
    World", ICLR 2023, eq. 1-4 and section 4. https://arxiv.org/abs/2302.12400
    The defaults are the authors': ρ = .05, :math:`E_0 = .4 \log k`, a threshold of .2 with a moving
    average of .9, SGD at .00025 with momentum .9.
    Departures: they leave the last blocks of their networks as they are, which here are trained;
    where no sample passes, no step is taken, where their code takes the mean of none.

    Pitfalls: the threshold of recovery is one of ImageNet's 1000 classes; of few classes a healthy
    entropy is below it, and the method recovers again and again, which the result counts.

    Args:
        model: a run's trained method, whose network has batch norm.
        optimizer: of scales and shifts.
        prior: weight of training's statistics in samples: see ``bn_statistics``.
        margin: :math:`E_0` as a share of log k; ``None``: all samples count.
        radius: ρ.
        momentum: share of the moving average that is kept.
        recover_below: the average entropy in nats at which all is forgotten; 0: never.
    """

    average: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: MakeOptimizer,
        prior: NonNegative,
        margin: Positive | None,
        radius: NonNegative,
        momentum: Share,
        recover_below: NonNegative,
    ) -> None:
        super().__init__(model, optimizer=optimizer, prior=prior)
        self.margin, self.radius = margin, radius
        self.momentum, self.recover_below = momentum, recover_below
        like = next(self.network.head.parameters())
        # negative: nothing has been learnt from yet
        self.register_buffer("average", like.new_full((), -1.0))

    def predict_then_adapt(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        logits = self.logits(x)
        shares = logits.detach().softmax(1)
        entropies = row_entropy(logits)
        kept = self.reliable(entropies, logits.shape[1])
        if not kept.any():
            return shares
        loss = entropies[kept].mean()
        require_gradient(loss)
        moves = self.climb(torch.autograd.grad(loss, self.trained))
        above = row_entropy(self.logits(x))[kept]
        still = self.reliable(above, logits.shape[1])
        self.follow(above.detach().mean())
        if still.any():
            gradients = torch.autograd.grad(above[still].mean(), self.trained)
            self.move(moves, -1.0)
            for parameter, gradient in zip(self.trained, gradients, strict=True):
                parameter.grad = gradient
            self.step()
        else:
            self.move(moves, -1.0)
        if 0 <= float(self.average) < self.recover_below:
            self.reset()
            self.recoveries += 1
        return shares

    def reliable(self, entropies: Float[Tensor, " n"], classes: int) -> Tensor:
        """Which samples have little entropy."""
        if self.margin is None:
            return torch.ones_like(entropies, dtype=torch.bool)
        return entropies.detach() < self.margin * math.log(classes)

    def climb(self, gradients: tuple[Tensor, ...]) -> list[Tensor]:
        """Goes by the radius to where the loss is highest; returns the way."""
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        moves = [self.radius / (norm + 1e-12) * gradient for gradient in gradients]
        self.move(moves, 1.0)
        return moves

    @torch.no_grad()
    def move(self, moves: list[Tensor], times: float) -> None:
        """Goes a way, or back."""
        for parameter, by in zip(self.trained, moves, strict=True):
            parameter.add_(by, alpha=times)

    def follow(self, entropy: Float[Tensor, ""]) -> None:
        """Moves the average of the entropy."""
        first = float(self.average) < 0
        self.average.copy_(entropy if first else torch.lerp(entropy, self.average, self.momentum))
