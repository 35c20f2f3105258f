"""A stream: the target passes once, each batch is predicted and then learnt from."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter
from torch import Tensor
from typing_extensions import TypedDict

from da_framework.core.damage import DamagedError, explain_damage, is_there, read_torch
from da_framework.core.errors import InputError
from da_framework.core.files import atomic_write, set_aside
from da_framework.core.types import Index
from da_framework.datasets.arrival import Arrival
from da_framework.stream_methods.base import StreamMethod
from da_framework.training.checkpoint_check import check_optimizer
from da_framework.training.step_seed import seed_step
from da_framework.training.stream_guard import Guard

log = logging.getLogger(__name__)

Reset = Literal["never", "domain"]
"""When a method forgets: never, or where another domain or corruption begins."""
CHECKPOINT = "checkpoint of a stream"


class Note(TypedDict):
    """When a method was taken back to its beginning, in samples, and why."""

    sample: Index
    reason: str


@dataclass
class Passed:
    """What came of the samples so far, in the order of their arrival.

    Attributes:
        predicted: class of each.
        confidence: its probability.
        entropy: of the prediction, in nats.
        resets: when the method was taken back to its beginning, and why.
        seconds: that predicting and learning took.
        batches: how many there were.
    """

    predicted: list[Index] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    resets: list[Note] = field(default_factory=list)
    seconds: float = 0.0
    batches: int = 0

    def add(self, probabilities: Tensor) -> None:
        """Takes note of a batch's predictions."""
        shares = probabilities.double().cpu()
        most, label = shares.max(1)
        self.predicted += label.tolist()
        self.confidence += most.tolist()
        self.entropy += torch.special.entr(shares).sum(1).tolist()
        self.batches += 1


@dataclass(frozen=True)
class Keeper:
    """Where a stream that is stopped goes on from.

    Attributes:
        file: of the checkpoint.
        key: of the stream; another's checkpoint is not used.
        every: batches between two.
    """

    file: Path
    key: str
    every: int

    def save(self, method: StreamMethod, guard: Guard | None, passed: Passed) -> None:
        """Writes what the stream goes on from."""
        content = {
            "key": self.key,
            "method": method.state(),
            "guard": None if guard is None else guard.state(),
            "passed": vars(passed),
        }
        with atomic_write(self.file) as partial:
            torch.save(content, partial)

    def load(self, method: StreamMethod, guard: Guard | None, batches: Sequence[slice]) -> Passed:
        """What the stream goes on from; the beginning where there is nothing, or it is damaged.

        Args:
            method: that it is put into.
            guard: likewise.
            batches: of the stream.
        """
        if not is_there(self.file):
            return Passed()
        start = method.state()
        try:
            content = read_torch(self.file, CHECKPOINT)
            with explain_damage(self.file, CHECKPOINT):
                if content["key"] != self.key:
                    return Passed()
                passed = check_passed(content["passed"], method, batches)
                if method.optimizer is not None:
                    check_optimizer(content["method"]["optimizer"], method.optimizer)
                if not isinstance(content["method"]["recoveries"], int):
                    raise ValueError("it does not count recoveries")
                method.load_state(content["method"])
                if guard is not None:
                    guard.load_state(content["guard"])
        except DamagedError as error:
            log.warning(
                "warning: %s, and now called %s: the stream begins anew",
                *(error.damage, set_aside(self.file).name),
            )
            method.load_state(start)
            if guard is not None:
                guard.reset()
            return Passed()
        return passed


def check_passed(content: Any, method: StreamMethod, batches: Sequence[slice]) -> Passed:
    """What came of the samples so far, as a checkpoint has it.

    Raises:
        ValueError: it is no such thing, or of another stream.
    """
    passed: Passed = TypeAdapter(Passed).validate_python(content)
    if not 0 < passed.batches <= len(batches):
        raise ValueError(f"it is of batch {passed.batches} of {len(batches)}")
    count = batches[passed.batches - 1].stop
    if {len(passed.predicted), len(passed.confidence), len(passed.entropy)} != {count}:
        raise ValueError(f"it has not one prediction for each of {count} samples")
    if max(passed.predicted) >= method.classes:
        raise ValueError("it has a class that the model has not")
    return passed


def pass_stream(
    method: StreamMethod,
    read: Callable[[slice], Tensor],
    arrival: Arrival,
    *,
    batch_size: int,
    seed: int,
    reset: Reset = "never",
    guard: Guard | None = None,
    keeper: Keeper | None = None,
) -> Passed:
    """Passes the target once.

    Random numbers of a batch are a function of the seed and the batch's number, so that a stream
    that was stopped goes on bit for bit. ``guard``, where there is one, may put the source model's
    predictions in the place of the method's, and reset it.

    Args:
        method: predicts and learns.
        read: the inputs of a batch, on the method's device; never its labels.
        arrival: the order.
        batch_size: samples of a batch, at most.
        seed: of random numbers.
        reset: whether the method forgets where another stage begins.
        guard: notices collapse.
        keeper: where the stream goes on from if it is stopped.

    Raises:
        InputError: what is predicted is no longer finite.
    """
    batches = arrival.batches(batch_size)
    method.remember()
    passed = keeper.load(method, guard, batches) if keeper else Passed()
    for number in range(passed.batches, len(batches)):
        batch = batches[number]
        stage = int(arrival.stage[batch.start])
        if reset == "domain" and batch.start and stage != int(arrival.stage[batch.start - 1]):
            method.reset()
            passed.resets.append({"sample": batch.start, "reason": "another domain begins"})
        x = read(batch)
        seed_step(x.device, seed, number, 0, purpose="stream")
        before, begin = method.recoveries, clock(x.device)
        probabilities = method.predict_then_adapt(x)
        if guard is not None:
            probabilities, reason = guard.judge(method, x, probabilities)
            if reason:
                method.reset()
                passed.resets.append({"sample": batch.stop, "reason": reason})
        passed.seconds += clock(x.device) - begin
        if method.recoveries > before:
            passed.resets.append({"sample": batch.stop, "reason": "the method's own recovery"})
        require_finite(probabilities, f"after {batch.start} samples")
        passed.add(probabilities)
        if keeper and passed.batches % keeper.every == 0 and passed.batches < len(batches):
            keeper.save(method, guard, passed)
    return passed


def require_finite(probabilities: Tensor, when: str) -> None:
    """Refuses predictions that are none.

    Raises:
        InputError: some are not finite.
    """
    if not probabilities.isfinite().all():
        raise InputError(
            f"{when} the stream method's predictions are not finite: a lower "
            "stream_method.optimizer.lr, or guard=true, which takes it back to its beginning"
        )


def clock(device: torch.device) -> float:
    """Seconds, once the device has done what it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def predict_batches(
    predict: Callable[[Tensor], Tensor], x: Any, *, batch_size: int, seed: int
) -> Tensor:
    """Classes of samples, in batches as those of a stream; nothing is learnt.

    Args:
        predict: probabilities of a batch.
        x: inputs, in the order in which they are put into batches.
        batch_size: samples of a batch, at most.
        seed: of random numbers.

    Raises:
        InputError: what is predicted is not finite.
    """
    labels = []
    for number, begin in enumerate(range(0, len(x), batch_size)):
        batch = x[begin : begin + batch_size]
        seed_step(batch.device, seed, number, 0, purpose="source")
        probabilities = predict(batch)
        require_finite(probabilities, "on the held-out source")
        labels.append(probabilities.argmax(1).cpu())
    return torch.cat(labels)


def accuracy_over_time(
    correct: Mapping[int, bool], count: int, *, points: int
) -> list[dict[str, Any]]:
    """Accuracy of stretches of a stream, equally long, and of all samples up to the end of each.

    Args:
        correct: of each sample whose label is known, by its place in the stream.
        count: samples of the stream.
        points: stretches, at most.
    """
    ends = sorted({round(count * n / points) for n in range(1, points + 1)} - {0})
    curve, begin, total, hits = [], 0, 0, 0
    for end in ends:
        known = [correct[place] for place in range(begin, end) if place in correct]
        total, hits = total + len(known), hits + sum(known)
        curve.append(
            {
                "samples": end,
                "accuracy": sum(known) / len(known) if known else None,
                "cumulative": hits / total if total else None,
            }
        )
        begin = end
    return curve
