"""What a trained model makes of samples that are in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from da_framework.core.batch import UNLABELLED, Samples
from da_framework.core.errors import InputError, listed
from da_framework.datasets.custom import label_names, match_spellings
from da_framework.datasets.given_samples import read_inputs, read_samples
from da_framework.methods.base import Method
from da_framework.metrics.classification import metrics


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained method, and what it needs to know of its inputs and its classes.

    Attributes:
        method: with its weights.
        inputs: what a sample is: shape, type, scale, names of columns.
        classes: names of its logits.
    """

    method: Method
    inputs: Mapping[str, Any]
    classes: tuple[str, ...]

    @property
    def labels(self) -> NDArray[Any]:
        """The classes as the labels that were given in training."""
        values = list(self.inputs.get("labels", self.classes))
        unknown = self.classes[len(values) :]
        return np.array([*values, *unknown], dtype=object if unknown else None)

    def predict(self, x: Any) -> Any:
        """The label of each sample, as samples of the last target.

        Of a frame of pandas, a series with the index of its rows; of everything else, an array.

        Args:
            x: an array, a tensor, a frame, a data set or a loader, as ``da_framework.fit`` takes
                them; labels that come with it are not read.

        Raises:
            InputError: these are not samples of the kind that the model was trained on.
        """
        labels = self.labels[self.logits(x).argmax(1).numpy()]
        return in_rows_of(x, labels, name="label")

    def predict_proba(self, x: Any) -> Any:
        """The softmax of the logits: a row a sample, a column a class of ``labels``.

        Of a frame of pandas, a frame with the index of its rows and the labels as columns.

        Args:
            x: as ``predict`` takes it.

        Raises:
            InputError: these are not samples of the kind that the model was trained on, or what
                the method decides by are no probabilities.
        """
        if not self.method.gives_probabilities:
            raise InputError(
                f"{type(self.method).__name__} gives no probabilities: predict(x) has the labels, "
                "and logits(x) what they are decided by"
            )
        shares = self.logits(x).double().softmax(1).numpy()
        return in_rows_of(x, shares, columns=self.labels)

    def evaluate(self, x: Any, y: Any = None) -> dict[str, Any]:
        """How well the samples' labels are met: ``accuracy``, ``macro_f1`` and others.

        They are those of a run's record, fractions of 1; a label that is not learnt is an error, or
        the unknown class of a method that has one.

        Args:
            x: as ``predict`` takes it.
            y: the label of each sample; ``None``: those that come with x.

        Raises:
            InputError: a sample has no label, or none of the labels is one that is learnt.
        """
        given = read_samples(x if y is None else (x, y), "x")
        if given.y is None:
            raise InputError("there is no label to compare with: evaluate(x, y)")
        known = self.method.task.classes
        names = label_names(given.y.tolist())
        if None in names:
            raise InputError(f"sample {names.index(None)} has no label to compare with")
        spelled = {name for name in names if name is not None}
        own = match_spellings({"known": known, "given": spelled})
        number = {own["known"][name]: label for label, name in enumerate(known)}
        y_true = torch.tensor([number.get(own["given"][str(name)], len(known)) for name in names])
        if (y_true == len(known)).all():
            raise InputError(
                f"none of the labels {listed(sorted(spelled)[:5])} is learnt; the classes are "
                f"{listed(known)}"
            )
        calibrated = self.method.gives_probabilities
        return metrics(self.logits(x), y_true, known=len(known), calibrated=calibrated)

    def logits(self, x: Any) -> Tensor:
        """Logits of samples that are in memory, on the CPU."""
        inputs = torch.as_tensor(read_inputs(x, self.inputs))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.method.to(device)
        samples = as_target_samples(inputs.to(device), self)
        logits: Tensor = self.method.evaluate_samples(samples).logits.cpu()
        return logits


def as_target_samples(x: Tensor, model: Model) -> Samples:
    """Samples of the last target, with zeros behind where another domain's are longer."""
    if missing := model.inputs["widest"][0] - x.shape[1] if model.inputs["widths"] else 0:
        x = nn.functional.pad(x, (0, missing))
    last = len(model.method.task.domains) - 1
    count = torch.arange(len(x), device=x.device)
    return Samples(x, torch.full_like(count, UNLABELLED), torch.full_like(count, last), count)


def in_rows_of(x: Any, values: NDArray[Any], **keys: Any) -> Any:
    """Values of samples with the index of the frame of pandas that the samples came in.

    Args:
        x: the samples; of a pair, the first.
        values: a row, or a value, of each.
        keys: of the frame, or of the series.
    """
    given = x[0] if isinstance(x, tuple) and len(x) == 2 else x
    if not (hasattr(given, "iloc") and hasattr(given, "columns")):
        return values
    import pandas as pd

    make = pd.Series if values.ndim == 1 else pd.DataFrame
    return make(values, index=given.index, **keys)
