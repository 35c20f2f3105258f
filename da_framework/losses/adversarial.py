"""What a domain discriminator is trained on."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


def domain_adversarial(
    logits: Float[Tensor, " rows"], *, n: int, weights: Float[Tensor, " rows"] | None = None
) -> Float[Tensor, ""]:
    r"""Binary cross-entropy of telling source (label 1) from target (label 0).

    .. math::
        L_d = -\frac{1}{2n} \sum_{i \le n} \log \sigma(d_i)
              -\frac{1}{2m} \sum_{i > n} \log (1 - \sigma(d_i))

    Both domains weigh the same, whatever n and m. A blind discriminator costs log 2: the paper's
    sum over the two domains is twice this.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, eq. 9.
    https://arxiv.org/abs/1505.07818

    Args:
        logits: of being source; the first n samples are source, the other m target.
        n: how many samples are source.
        weights: of the samples in their domain's mean, as factors; ``None`` is 1 for all.
    """
    source, target = softplus(-logits[:n]), softplus(logits[n:])
    if weights is not None:
        source, target = weights[:n] * source, weights[n:] * target
    return (source.mean() + target.mean()) / 2
