"""How much one classifier disagrees with another on the target, and not on the source."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from da_framework.core.types import Positive


def margin_disparity(
    source: Float[Tensor, "n k"],
    target: Float[Tensor, "m k"],
    *,
    source_logits: Float[Tensor, "n k"],
    target_logits: Float[Tensor, "m k"],
    margin: Positive,
) -> Float[Tensor, ""]:
    r"""Minus the margin disparity discrepancy: what the adversarial classifier minimises.

    .. math::
        -\frac{\gamma}{n} \sum_i \log p'_{\hat y_i}(s_i)
        - \frac1m \sum_j \log \left( 1 - p'_{\hat y_j}(t_j) \right), \qquad
        \hat y = \arg\max_k z_k

    Small where the adversary says on the source what the classifier says, and on the target
    something else. Zhang et al., "Bridging Theory and Algorithm for Domain Adaptation", ICML 2019.
    https://arxiv.org/abs/1904.05801

    Args:
        source, target: logits of the adversarial classifier, of probabilities p'.
        source_logits, target_logits: those of the classifier, whose decisions alone are used.
        margin: γ, the exponential of the paper's margin; 4 is its value there.
    """
    agreed = cross_entropy(source, source_logits.argmax(1))
    # 1 - p of the decided class: all others together, never 1 minus nearly 1
    decided = one_hot(target_logits.argmax(1), target.shape[1]).bool()
    others = target.masked_fill(decided, -float("inf")).logsumexp(1)
    differing = (target.logsumexp(1) - others).mean()
    return margin * agreed + differing
