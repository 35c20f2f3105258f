"""What a domain discriminator is trained on."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from da_framework.losses.invariance import domain_means


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


def domain_cross_entropy(
    logits: Float[Tensor, "n e"],
    domain: Int[Tensor, " n"],
    *,
    weights: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    r"""Cross-entropy of telling several domains apart; each weighs the same, whatever its samples.

    .. math:: -\frac1E \sum_e \frac{\sum_{i \in e} w_i \log p_{ie}}{\sum_{i \in e} w_i}

    A blind discriminator costs log E. Of two domains it is ``domain_adversarial`` of the difference
    of their logits.

    Args:
        logits: of being of each domain.
        domain: of each sample; some may have none.
        weights: w of the samples in their domain's mean; ``None`` is 1 for all.
    """
    losses = cross_entropy(logits, domain, reduction="none")
    if weights is None:
        return domain_means(losses, domain).mean()
    return (domain_means(weights * losses, domain) / domain_means(weights, domain)).mean()
