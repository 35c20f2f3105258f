"""SHOT, with a second task that needs no labels: by how far a sample was turned."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from da_framework.core.batch import Outputs, Task, Term, send
from da_framework.core.errors import InputError
from da_framework.core.types import NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.shot import SHOT
from da_framework.methods.shot_im import SHOTIM
from da_framework.networks.network import Network


class SHOTRotation(SHOT):
    r"""SHOT with rotation prediction: a head tells by how many quarter turns a sample was rotated.

    .. math::
        L_{\mathrm{SHOT}} + \lambda \, \overline{- \log p_z\big( [\, f(x), f(R^z x) \,] \big)},
        \qquad z \sim \{0, 1, 2, 3\}

    over the target, with R the quarter turn. The head sees the features of the sample as it is as
    well, so that the turn is relative; these have no gradient.

    Liang, Hu, Wang, He, Feng, "Source Data-absent Unsupervised Domain Adaptation through Hypothesis
    Transfer and Labeling Transfer", TPAMI 2021, section 3.3: the second stage of SHOT++, of which
    ``shot_plus_plus`` is the third. https://arxiv.org/abs/2012.07297
    For square images, and points of a plane. Departure: the paper trains the head of turns by
    itself before it adapts; here it learns while the encoder does.
    Pitfalls. Where turning changes the class (6 and 9) or what is upright differs between images
    of a class, the second task works against the first.

    Args:
        network: encoder and head, trained on the source.
        task: classes, domains and samples.
        weight: w of the information term, as of ``shot``.
        pseudo_weight: β of the labels' term, as of ``shot``.
        rotation_weight: λ; .6 is the paper's.

    Raises:
        InputError: a sample is neither a square image nor a point of a plane.
    """

    needs_raw_inputs: ClassVar = True
    perturbs_inputs: ClassVar = True
    exempt_from: ClassVar = SHOTIM.exempt_from | {
        "knows_samples_by_their_row": "by how far a sample is turned is drawn for its place",
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        pseudo_weight: NonNegative,
        rotation_weight: NonNegative,
        **base: Unpack[MethodKeys],
    ) -> None:
        image = len(task.shape) == 3 and task.shape[1] == task.shape[2]
        if not (image or task.shape == (2,)):
            raise InputError(
                f"method=shot_rotation: samples of shape {list(task.shape)} cannot be turned, as "
                "square images can: take method=shot"
            )
        super().__init__(network, task, weight=weight, pseudo_weight=pseudo_weight, **base)
        self.rotation_weight = rotation_weight
        self.turns = nn.Linear(2 * network.feature_dim, 4)

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        target = outputs["target"]
        drawn = send(torch.randint(4, (len(target.x),), generator=self.generator), target.x.device)
        turned, _ = self.network(rotate(target.x, drawn), target.domain)
        logits = self.turns(torch.cat([target.features.detach(), turned], dim=1))
        term = Term(cross_entropy(logits, drawn), self.rotation_weight)
        return {**super().method_terms(outputs), "rotation": term}


def rotate(x: Float[Tensor, "rows ..."], turns: Int[Tensor, " rows"]) -> Float[Tensor, "rows ..."]:
    """Every sample by so many quarter turns against the clock, an image about its middle."""
    if x.ndim == 2:
        across, up = x.T
        all_turns = [x, torch.stack([-up, across], 1), -x, torch.stack([up, -across], 1)]
    else:
        all_turns = [x.rot90(quarters, (-2, -1)) for quarters in range(4)]
    return torch.stack(all_turns)[turns, torch.arange(len(x), device=x.device)]
