"""Estimates the target's accuracy without its labels at every evaluation, to be held against it."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError, listed
from da_framework.metrics.label_shift import Calibration, LabelShiftCorrection, correct_outputs

log = logging.getLogger(__name__)


class AccuracyEstimators(Callback):
    """Records each estimate of target accuracy in the history, as ``estimate/...``.

    Nothing is chosen by one, and no number of the run changes. One that needs what is not there is
    left out, and so are all where the method's logits are no probabilities; the log says so, once.

    With a calibration or a correction of label shift the estimators see the probabilities that
    these make, and their names say so (``estimate/ac-temperature-em``): what estimates of bare
    probabilities were off by does not hold for them.

    Args:
        accuracy_estimators: by name.
        calibration: fitted to the held-out source at every evaluation.
        label_shift_correction: of the target's class shares.
    """

    def __init__(
        self,
        accuracy_estimators: Mapping[str, Callable[[Mapping[str, Outputs]], float]],
        *,
        calibration: Any = None,
        label_shift_correction: Any = None,
    ) -> None:
        self.accuracy_estimators = accuracy_estimators
        self.calibration: Calibration | None = calibration
        self.correction: LabelShiftCorrection | None = label_shift_correction
        used = [part for part in (calibration, label_shift_correction) if part is not None]
        self.suffix = "".join(f"-{getattr(part, 'func', part).__name__}" for part in used)
        self.reported: set[str] = set()

    def on_evaluation(self, trainer: pl.Trainer, module: Any, evaluation: Evaluation) -> None:
        if not module.method.gives_probabilities:
            name = type(module.method).__name__
            self.report(
                trainer, f"accuracy is not estimated: the logits of {name} give no probabilities"
            )
            return
        try:
            if self.correction and module.method.setting == "open":
                raise InputError("the method has a class of which there is no source sample")
            outputs = correct_outputs(
                evaluation.validation, calibration=self.calibration, correction=self.correction
            )
        except InputError as error:
            self.report(trainer, f"accuracy is not estimated: {error}")
            return
        estimates = {}
        for name, estimator in self.accuracy_estimators.items():
            try:
                estimates[f"estimate/{name}{self.suffix}"] = float(estimator(outputs))
            except KeyError as error:
                roles = listed(evaluation.validation)
                self.report(trainer, f"no estimate by {name}: it needs {error}, there is {roles}")
            except InputError as error:
                self.report(trainer, f"no estimate by {name}: {error}")
        if finite := {name: value for name, value in estimates.items() if math.isfinite(value)}:
            module.record(finite)

    def report(self, trainer: pl.Trainer, sentence: str) -> None:
        """Logs a sentence, once."""
        if sentence not in self.reported and trainer.is_global_zero:
            log.info("%s", sentence)
        self.reported.add(sentence)
