"""Losses between what a teacher and a student make of the same samples."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import log_softmax, normalize, smooth_l1_loss


def distillation(
    logits: Float[Tensor, "n k"], *, probabilities: Float[Tensor, "n k"], temperature: float
) -> Float[Tensor, ""]:
    r"""Knowledge distillation: cross-entropy of soft labels, as softened as the teacher's.

    .. math:: -\frac{T^2}{n} \sum_{i} \sum_c p_{ic} \log \operatorname{softmax}(z_i / T)_c

    The factor keeps the size of the gradient when T changes. Hinton, Vinyals, Dean, "Distilling the
    Knowledge in a Neural Network", 2015, section 2. https://arxiv.org/abs/1503.02531

    Args:
        logits: z of the student.
        probabilities: p of the teacher, at temperature T; no gradient goes through them.
        temperature: T, above 0.
    """
    log_p = log_softmax(logits / temperature, dim=1)
    return -(temperature**2) * (probabilities.detach().to(log_p) * log_p).sum(1).mean()


def relative_distances(
    student: Float[Tensor, "n d"], teacher: Float[Tensor, "n e"]
) -> Float[Tensor, ""]:
    r"""Relational distillation by distances: their Huber loss, each relative to the mean.

    .. math:: \overline{\ell_1 \left( \frac{\lVert s_i - s_j \rVert}{\mu_s},
        \frac{\lVert t_i - t_j \rVert}{\mu_t} \right)}

    The mean distances :math:`\mu_s` and :math:`\mu_t` are those of the batch; the gradient passes
    through :math:`\mu_s`, so that a student's scale costs nothing and is not moved.

    Park, Kim, Lu, Cho, "Relational Knowledge Distillation", CVPR 2019, eq. 5 to 7.
    https://arxiv.org/abs/1904.05068

    Args:
        student, teacher: features of the same samples, of any widths; none of the teacher is
            learnt.
    """
    return smooth_l1_loss(_distances(student), _distances(teacher.detach().to(student)))


def angles(student: Float[Tensor, "n d"], teacher: Float[Tensor, "n e"]) -> Float[Tensor, ""]:
    r"""Relational distillation by angles: Huber loss of the cosines that any three samples make.

    .. math:: \overline{\ell_1 ( \cos \angle s_i s_j s_k, \; \cos \angle t_i t_j t_k )}

    Park, Kim, Lu, Cho, "Relational Knowledge Distillation", CVPR 2019, eq. 8 to 10.
    https://arxiv.org/abs/1904.05068

    Args:
        student, teacher: features of the same samples; memory grows with the cube of their number.
    """
    return smooth_l1_loss(_cosines(student), _cosines(teacher.detach().to(student)))


def _distances(z: Tensor) -> Tensor:
    i, j = torch.triu_indices(len(z), len(z), offset=1, device=z.device)
    distances = (z[i] - z[j]).square().sum(1).clamp_min(1e-12).sqrt()
    return distances / distances.mean() if len(distances) else distances.sum()[None]


def _cosines(z: Tensor) -> Tensor:
    directions = normalize(z[None] - z[:, None], dim=2)
    return torch.einsum("jid,jkd->jik", directions, directions)
