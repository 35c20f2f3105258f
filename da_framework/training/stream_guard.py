"""A guard that notices when a method that learns from a stream collapses."""

import math
from collections import deque
from copy import deepcopy
from typing import Annotated, Any

import torch
from jaxtyping import Float, Num
from pydantic import ConfigDict, Field, TypeAdapter, with_config
from torch import Tensor
from typing_extensions import TypedDict

from da_framework.core.batch import as_input
from da_framework.core.types import Index, NonNegative, Positive, Share
from da_framework.networks.frozen import Frozen
from da_framework.stream_methods.base import StreamMethod


@with_config(ConfigDict(extra="forbid"))
class Limits(TypedDict):
    """What a guard takes for collapse.

    Attributes:
        window: samples that are looked back at; for diversity, as many of each class that the
            source model predicts.
        min_diversity: the least that the predictions may be spread over classes, as a share of how
            far the source model's are.
        min_entropy: the least entropy of the predictions, as a share of the source model's, where
            fewer than half of the classes are the source model's too.
        max_drift: the most that trained weights may be away from where they began, relative to
            their norm.
    """

    window: Annotated[int, Field(ge=1, le=2**31)]
    min_diversity: Share
    min_entropy: NonNegative
    max_drift: Positive


class GuardState(TypedDict):
    """All that a guard knows of a stream."""

    seen: list[tuple[int, int, float, float]]
    by_class: dict[int, tuple[list[Index], Index | None]]
    probation: int
    resets: Index


class Guard:
    """Notices collapse without a label, by comparison with the source model on the same samples.

    A stream of one class looks like a collapse to whoever sees the predictions alone. So the source
    model predicts every batch too. Are the method's predictions of far fewer classes than the
    source model's, on the last samples of each class that this predicts, however long ago they
    came; are the last ones certain and other than the source model's; are the trained weights far
    from where they began, or not finite? Then the method is reset.

    A method is on probation at first and after a reset: it learns, and the source model's
    predictions are given, for ``window`` samples, and twice as many after every further reset. So
    what collapses at once does no harm, and what collapses again and again less and less.

    What it cannot notice is a method that is wrong in as many classes as the source model is right
    in, with weights near their beginning: batch norm's statistics of one class do that. And where
    the source model scatters what is of one class over several, a method that is right looks like a
    collapse: a guarded stream is then as good as the source model, and no better.

    Args:
        source: the source model, of which a copy is kept.
        limits: what is taken for collapse.
    """

    def __init__(self, source: torch.nn.Module, limits: Limits) -> None:
        self.source = Frozen(source)
        self.limits = limits
        self.reset()

    def reset(self) -> None:
        """Forgets the stream."""
        self.seen: deque[tuple[int, int, float, float]] = deque(maxlen=self.limits["window"])
        self.by_class: dict[int, deque[int]] = {}
        self.probation = self.limits["window"]
        self.resets = 0
        self.begun: list[Tensor] = []

    def judge(
        self, method: StreamMethod, x: Num[Tensor, "n ..."], probabilities: Float[Tensor, "n k"]
    ) -> tuple[Float[Tensor, "n k"], str]:
        """The predictions to give of a batch, and why the method is to be reset, if it is.

        Args:
            method: that has learnt from the batch.
            x: the batch.
            probabilities: the method's.
        """
        theirs = self.source(as_input(x))[1].softmax(1)
        self.note(probabilities, theirs)
        reason = self.find_collapse(method, finite=bool(probabilities.isfinite().all()))
        given = theirs if reason or self.probation > 0 else probabilities
        self.probation -= len(x)
        if reason:
            self.resets += 1
            self.probation = self.limits["window"] * 2 ** min(self.resets, 40)
            self.seen.clear()
            self.by_class.clear()
        return given, reason

    def note(self, ours: Float[Tensor, "n k"], theirs: Float[Tensor, "n k"]) -> None:
        """Takes note of what the method and the source model make of a batch."""
        fields = [
            field.tolist()
            for p in (ours, theirs)
            for field in (p.argmax(1), torch.special.entr(p).sum(1))
        ]
        own, entropy, other, other_entropy = fields
        self.seen.extend(zip(own, other, entropy, other_entropy, strict=True))
        share = max(1, self.limits["window"] // ours.shape[1])
        for label, usual in zip(own, other, strict=True):
            self.by_class.setdefault(usual, deque(maxlen=share)).append(label)

    def find_collapse(self, method: StreamMethod, *, finite: bool) -> str:
        """Why a method is taken to have collapsed; empty if it has not."""
        drift = self.measure_drift(method)
        if not finite or not math.isfinite(drift):
            return "weights or predictions are no longer finite"
        if drift > self.limits["max_drift"]:
            return f"the weights moved by {drift:.2g} of their norm"
        labels = [label for held in self.by_class.values() for label in held]
        if len(labels) < self.limits["window"] // 4:
            return ""
        usual = spread_over_classes([c for c, held in self.by_class.items() for _ in held])
        spread = spread_over_classes(labels)
        if spread < self.limits["min_diversity"] * usual:
            return f"predictions are of {spread:.2g} classes, the source model's of {usual:.2g}"
        if len(self.seen) < self.limits["window"]:
            return ""
        own, other, entropy, other_entropy = zip(*self.seen, strict=True)
        agree = sum(a == b for a, b in zip(own, other, strict=True)) / len(own)
        share = sum(entropy) / max(sum(other_entropy), 1e-12)
        if share < self.limits["min_entropy"] and agree < 0.5:
            return (
                f"the entropy is {share:.2g} of the source model's, and {agree:.0%} of the "
                "classes are the same"
            )
        return ""

    def measure_drift(self, method: StreamMethod) -> float:
        """How far trained weights are from where they began, relative to their norm."""
        if not method.trained:
            return 0.0
        if not self.begun:
            self.begun = method.beginnings()
        pairs = zip(method.trained, self.begun, strict=True)
        with torch.no_grad():
            moved = sum(float((now - then).square().sum()) for now, then in pairs)
            norm = sum(float(then.square().sum()) for then in self.begun)
        return math.sqrt(moved / max(norm, 1e-12)) if math.isfinite(moved) else math.inf

    def state(self) -> dict[str, Any]:
        """All that it knows of the stream: a copy."""
        return deepcopy(
            {
                "seen": list(self.seen),
                "by_class": {n: (list(held), held.maxlen) for n, held in self.by_class.items()},
                "probation": self.probation,
                "resets": self.resets,
            }
        )

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes back to a state.

        Raises:
            ValueError: it is no state of a guard.
        """
        TypeAdapter(GuardState).validate_python(state)
        self.reset()
        self.seen.extend(state["seen"])
        for label, (held, size) in state["by_class"].items():
            self.by_class[label] = deque(held, maxlen=size)
        self.probation, self.resets = state["probation"], state["resets"]


def spread_over_classes(labels: Any) -> float:
    r"""Over how many classes labels are spread: :math:`\exp H` of their shares, 1 to k."""
    counts = torch.bincount(torch.tensor(labels)).double()
    return float(torch.special.entr(counts / counts.sum()).sum().exp())
