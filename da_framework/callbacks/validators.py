"""Scores every evaluation by many validators, so that these can be compared."""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError


class Validators(Callback):
    """Records the score of each validator in the history, as ``validator/...``.

    The run's own validator alone chooses, and no number of the run changes. The untrained model is
    not scored. A validator is left out where it needs what the data does not have, or its score is
    not finite; reverse validation always, for it trains as long as the run has.

    Args:
        validators: by name.
    """

    def __init__(self, validators: Mapping[str, Callable[[Mapping[str, Outputs]], float]]) -> None:
        self.validators = validators

    def on_evaluation(self, trainer: pl.Trainer, module: Any, evaluation: Evaluation) -> None:
        if evaluation.step == 0:
            return
        scores = {}
        for name, validator in self.validators.items():
            with suppress(KeyError, InputError):
                scores[f"validator/{name}"] = float(validator(evaluation.validation))
        module.record({name: score for name, score in scores.items() if math.isfinite(score)})
