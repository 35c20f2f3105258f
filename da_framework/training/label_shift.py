"""A finished run's outputs calibrated, and corrected for label shift, by the source it held out."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from da_framework.config.schema import instantiate
from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError
from da_framework.label_shift_corrections.shift_estimate import ShiftEstimate
from da_framework.metrics.label_shift import (
    Calibration,
    LabelShiftCorrection,
    correct_label_shift,
    refuse_missing_classes,
)
from da_framework.training.build import Run
from da_framework.training.restore import count_shared


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """How a run's logits become probabilities of a target.

    Attributes:
        calibration: the config of one, or none.
        label_shift_correction: likewise.
        source: outputs of the source samples that the run held out, with their labels.
    """

    calibration: Any
    label_shift_correction: Any
    source: Outputs

    def apply(
        self, logits: Float[Tensor, "m k"]
    ) -> tuple[Float[Tensor, "m k"], ShiftEstimate | None]:
        """Log probabilities of target samples, and their class shares where these are estimated.

        Args:
            logits: of one target: its class shares are estimated together.
        """
        calibration: Calibration | None = self.calibration and instantiate(self.calibration)
        correction: LabelShiftCorrection | None = self.label_shift_correction and instantiate(
            self.label_shift_correction
        )
        corrected = correct_label_shift(
            self.source.logits.cpu(),
            self.source.y.cpu(),
            logits.cpu(),
            calibration=calibration,
            correction=correction,
        )
        return corrected.target, corrected.estimate

    def record(self, estimate: ShiftEstimate | None) -> dict[str, Any]:
        """What was done, as it is written: names with their keys, and class shares.

        Args:
            estimate: of the target, where one was made.
        """
        done: dict[str, Any] = {
            "calibration": describe_choice(self.calibration),
            "label_shift_correction": describe_choice(self.label_shift_correction),
            "held_out_source_samples": len(self.source.y),
        }
        if estimate is None:
            return done
        counts = torch.bincount(self.source.y, minlength=self.source.logits.shape[1]).double()
        return {
            **done,
            "source_shares": (counts / counts.sum()).tolist(),
            "target_shares": estimate.shares.tolist(),
            "weights": estimate.weights.tolist(),
        }


def describe_choice(node: Any) -> str | None:
    """A config by the name of what it builds and its keys: ``bbse, mode=soft``."""
    if not node:
        return None
    keys = [f"{key}={value}" for key, value in node.items() if not key.startswith("_")]
    return ", ".join([str(node["_target_"]).rpartition(".")[2], *keys])


def recalibrate(
    built: Run, *, calibration: Any, label_shift_correction: Any, trained: Any = None
) -> Recalibration | None:
    """How a run's probabilities are changed; ``None`` where nothing is asked for.

    Args:
        built: the run with its weights and its data.
        calibration: the config of one, or none.
        label_shift_correction: likewise.
        trained: the data set that the run was trained on, where ``built`` has another's keys.

    Raises:
        InputError: the run has no probabilities, no held-out source, or a class that the source
            does not have.
    """
    if not (calibration or label_shift_correction):
        return None
    method, data = built.module.method, built.domains.dataset
    keys = {"calibration": calibration, "label_shift_correction": label_shift_correction}
    asked = " ".join(f"{key}=null" for key, node in keys.items() if node)
    if not method.gives_probabilities:
        raise InputError(
            f"the logits of {type(method).__name__} give no probabilities to calibrate or to "
            f"correct: {asked}"
        )
    if method.setting == "open" or data.unknown:
        raise InputError(
            "the target has classes that the source does not have, of which no source sample says "
            f"how sure the model may be or how many there are: {asked}"
        )
    held_out = built.domains.validation.get("source")
    if held_out is None:
        raise InputError(
            "both are fitted to source samples that the run held out, and it has none "
            f"(dataset.val=0, or no source at all): {asked}, or a run with dataset.val=0.1"
        )
    labelled = [
        part
        for parts in (trained or data).split_roles().train.values()
        for part in parts
        if part.labelled
    ]
    if count := count_shared(data.split_roles().validation["source"], labelled):
        raise InputError(
            f"{count} of the source samples to calibrate by were trained on, of which the model is "
            f"surer than of others: the source of the run, or {asked}"
        )
    source = method.evaluate_samples(held_out)
    if label_shift_correction:
        refuse_missing_classes(source)
    return Recalibration(**keys, source=source)
