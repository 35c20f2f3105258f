"""Methods in closed form with scikit-learn's conventions, for arrays in a notebook."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor

from da_framework.config.schema import check_config, instantiate
from da_framework.core.batch import UNLABELLED, Outputs, Task
from da_framework.core.errors import InputError
from da_framework.methods.closed_form import ClosedForm
from da_framework.training.build import compose


class Estimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # untyped bases
    """A method that is fitted and not trained, on arrays.

    ::

        model = Estimator("tca", components=20).fit(x_source, y_source, x_target)
        model.predict(x_target)

    Args:
        method: its name, as after ``method=``: tca, jda, coral, subspace_alignment, ...
        keys: of the method; those that are not given are as in its config.

    Attributes:
        classes_: the labels of the source, sorted.

    Raises:
        InputError: there is no such method or key, or the method is trained step by step.
    """

    def __init__(self, method: str, **keys: Any) -> None:
        self.method = method
        self.keys = keys
        self._make_method()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The method and the keys that were given."""
        return {"method": self.method, **self.keys}

    def set_params(self, **params: Any) -> "Estimator":
        """Changes the method or its keys.

        Raises:
            InputError: there is no such method or key.
        """
        before = self.method, self.keys
        self.method = params.pop("method", self.method)
        self.keys = self.keys | params
        try:
            self._make_method()
        except InputError:
            self.method, self.keys = before
            raise
        return self

    def _make_method(self) -> Callable[..., ClosedForm]:
        """What makes the method of a network and a task, once its keys are found right."""
        node = compose(f"method={self.method}")["method"] | self.keys
        check_config({"method": node}, lambda method: None)
        make: Any = instantiate(node)
        if not make.func.closed_form:
            raise InputError(
                f"{self.method} is trained step by step: da train method={self.method}"
            )
        constructor: Callable[..., ClosedForm] = make
        return constructor

    def fit(self, x: ArrayLike, y: ArrayLike, x_target: ArrayLike) -> "Estimator":
        """Fits to labelled rows of the source and rows of the target.

        Args:
            x: source features, (n, d).
            y: their labels, of any kind.
            x_target: target features, (m, d).
        """
        source, target = _matrix(x), _matrix(x_target)
        self.classes_, labels = np.unique(np.asarray(y), return_inverse=True)
        if source.shape[1] != target.shape[1] or len(labels) != len(source):
            raise InputError(
                f"x is {tuple(source.shape)}, y has {len(labels)} labels, x_target is "
                f"{tuple(target.shape)}: rows of x and y, and columns of both x, must be equal"
            )
        rows = {"source": len(source), "target": len(target)}
        names = tuple(map(str, self.classes_))
        task = Task(names, ("source", "target"), rows, tuple(source.shape[1:]))
        network = instantiate(compose("network=identity")["network"])(task.shape, len(names))
        self.method_: ClosedForm = self._make_method()(network.double(), task).eval()
        self.method_.refresh(
            {
                "source": self._outputs(source, torch.as_tensor(labels), domain=0),
                "target": self._outputs(target, torch.full((len(target),), UNLABELLED), domain=1),
            }
        )
        return self

    def transform(
        self, x: ArrayLike, *, domain: Literal["source", "target"] = "target"
    ) -> NDArray[Any]:
        """Rows of a domain, mapped."""
        return self._passed(x, domain)[0].numpy()

    def predict(
        self, x: ArrayLike, *, domain: Literal["source", "target"] = "target"
    ) -> NDArray[Any]:
        """Labels of rows of a domain."""
        logits = self._passed(x, domain)[1]
        labels: NDArray[Any] = self.classes_[logits.argmax(1).numpy()]
        return labels

    def _passed(self, x: ArrayLike, domain: str) -> tuple[Tensor, Tensor]:
        if not hasattr(self, "method_"):
            raise InputError("not fitted yet: fit(x, y, x_target) first")
        rows = _matrix(x)
        number = torch.full((len(rows),), int(domain == "target"))
        with torch.no_grad():
            passed: tuple[Tensor, Tensor] = self.method_(rows, number)
        return passed

    @staticmethod
    def _outputs(x: Tensor, y: Tensor, *, domain: int) -> Outputs:
        number = torch.full((len(x),), domain)
        return Outputs(x, y, number, torch.arange(len(x)), features=x, logits=x[:, :0])


def _matrix(x: ArrayLike) -> Tensor:
    rows = torch.as_tensor(np.asarray(x, dtype=np.float64))
    if rows.ndim != 2 or not rows.isfinite().all():
        raise InputError(f"features must be finite numbers, rows by columns; got {rows.ndim}-d")
    return rows
