"""Every method with scikit-learn's conventions, for matrices in a notebook."""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NoReturn
from warnings import warn

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import Tensor

from da_framework.config.schema import check_config, instantiate
from da_framework.core.batch import UNLABELLED, Outputs, Samples, Task
from da_framework.core.errors import InputError, listed
from da_framework.datasets.custom import label_names
from da_framework.methods.base import Method
from da_framework.methods.closed_form import ClosedForm
from da_framework.notebook import compose_keys, fit
from da_framework.validators.validation import Validation

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before scikit-learn 1.6
    validate_data = BaseEstimator._validate_data


def gives_probabilities(estimator: Any) -> bool:
    """Whether the softmax of a fitted estimator's logits claims to be a probability."""
    return bool(getattr(estimator, "method_").gives_probabilities)  # noqa: B009 raises before fit


class Estimator(
    ClassifierMixin,  # type: ignore[misc]  # untyped bases
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """A method as a classifier of scikit-learn.

    Samples of the target stand among those of the source, with the label that scikit-learn has for
    a sample without one: -1; or None, NaN or the empty text. Or they are given apart.

    ::

        model = Estimator("tca", components=20).fit(x_source, y_source, x_target)
        model.predict(x_target)
        scorer = validator_scorer("entropy")
        search = GridSearchCV(Estimator("dann", steps=300), {"weight": [0.1, 1]}, scoring=scorer)
        search.fit(np.concatenate([x_source, x_target]), [*y_source, *[-1] * len(x_target)])

    A method in closed form is fitted to all samples in double precision; one that is trained, as by
    ``da_framework.fit``, on a network of fully connected layers if ``network`` names no other.

    Args:
        method: its name, as after ``method=``: tca, jda, dann, mcd, ...
        keys: of the method, and every other key of ``da train`` with ``__`` for a dot
            (``optimizer__lr=0.01``), as in ``da_framework.fit``. They are checked in ``fit``.

    Attributes:
        classes_: the labels of the source, sorted. A method for a target with other classes also
            predicts ``unknown``, or -1 where labels are numbers.
        n_features_in_: columns of x.
        feature_names_in_: their names, where x is a frame.
        method_: what was fitted.

    Raises:
        InputError: there is no such method or key.
    """

    def __init__(self, method: str, **keys: Any) -> None:
        self.method = method
        self._keys = keys

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The method and the keys that were given."""
        return {"method": self.method, **self._keys}

    def set_params(self, **params: Any) -> "Estimator":
        """Changes the method or its keys, those that were not given among them."""
        self.method = params.pop("method", self.method)
        self._keys = self._keys | params
        return self

    def fit(self, x: ArrayLike, y: ArrayLike, x_target: ArrayLike | None = None) -> "Estimator":
        """Fits to labelled samples of the source and samples of the target.

        Args:
            x: features, (n, d).
            y: a label each, of any kind; -1, None, NaN or the empty text for those of the target.
            x_target: more features of the target, (m, d).

        Raises:
            InputError: there is no such method or key, or it needs more than these samples.
        """
        rows = validate_data(self, x, dtype=np.float64)
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        labels = column_or_1d(y, warn=True)
        if len(labels) != len(rows):
            raise InputError(
                f"x has {len(rows)} samples and y {len(labels)} labels: they must be equal"
            )
        labelled = is_labelled(labels)
        if not labelled.any():
            raise InputError("y has no label: the samples of a source have one each")
        known = plain_labels(labels[labelled])
        check_classification_targets(known)
        target = rows[~labelled]
        if x_target is not None:
            more = validate_data(self, x_target, dtype=np.float64, reset=False)
            target = np.concatenate([target, more])
        if not len(target):
            warn("there is no sample of a target: the source is taken for one", stacklevel=2)
            target = rows
        self.classes_ = np.unique(known)
        if make_method(self.method).func.closed_form:
            self.method_ = self._solve(rows[labelled], known, target)
        else:
            given = {"network": "mlp", **self._keys}
            pair = (rows[labelled], np.searchsorted(self.classes_, known))
            self.method_ = fit(
                method=self.method, source=pair, target=target, **given
            ).module.method
        self.method_.eval()
        self._n_features_out = self._pass(rows[:1], domain="target").features.shape[1]
        return self

    def _solve(self, source: NDArray[Any], y: NDArray[Any], target: NDArray[Any]) -> Method:
        """A method in closed form, given all samples at once."""
        if more := set(make_method(self.method).func.roles) - {"source", "target"}:
            raise InputError(
                f"{self.method} learns from the role {listed(more)}, which Estimator is not given"
            )
        names = tuple(map(str, self.classes_))
        counts = {"source": len(source), "target": len(target)}
        task = Task(names, ("source", "target"), counts, (source.shape[1],))
        config = compose_keys({"network": "identity", "method": self.method, **self._keys})[0]
        check_config({"method": config["method"]}, lambda method: None)
        network = instantiate(config["network"])(task.shape, len(names))
        method: ClosedForm = instantiate(config["method"])(network.double(), task)
        numbers = torch.as_tensor(np.searchsorted(self.classes_, y))
        unlabelled = torch.full((len(target),), UNLABELLED)
        method.refresh(
            {
                "source": unpassed(as_samples(torch.tensor(source), numbers, domain=0)),
                "target": unpassed(as_samples(torch.tensor(target), unlabelled, domain=1)),
            }
        )
        return method

    def transform(
        self, x: ArrayLike, *, domain: Literal["source", "target"] = "target"
    ) -> NDArray[Any]:
        """Features of samples of a domain: as mapped, or as the network makes them."""
        features: NDArray[Any] = self.outputs(x, domain=domain).features.numpy()
        return features

    def predict(
        self, x: ArrayLike, *, domain: Literal["source", "target"] = "target"
    ) -> NDArray[Any]:
        """Labels of samples of a domain."""
        number = self.outputs(x, domain=domain).logits.argmax(1).numpy()
        unknown = "unknown" if self.classes_.dtype.kind in "OSU" else UNLABELLED
        known = self.classes_
        if number.max(initial=0) >= len(known):
            known = np.append(known, np.array([unknown], object if known.dtype == object else None))
        labels: NDArray[Any] = known[number]
        return labels

    def decision_function(
        self, x: ArrayLike, *, domain: Literal["source", "target"] = "target"
    ) -> NDArray[Any]:
        """The logits, a column a class; of two classes, by how much the second is ahead.

        They order the classes of a sample also where they are no logarithms of probabilities: the
        nearest neighbour's are distances, and the support vector machine's margins.
        """
        logits: NDArray[Any] = self.outputs(x, domain=domain).logits.numpy()
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    @available_if(gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(
        self, x: ArrayLike, *, domain: Literal["source", "target"] = "target"
    ) -> NDArray[Any]:
        """Probabilities of the classes, where the method's logits claim to give some."""
        shares: NDArray[Any] = self.outputs(x, domain=domain).logits.softmax(1).numpy()
        return shares

    def score(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy on the samples that have a label."""
        labels = column_or_1d(y)
        labelled = is_labelled(labels)
        if labelled.all():
            return float(super().score(x, y, sample_weight))
        weight = None if sample_weight is None else np.asarray(sample_weight)[labelled]
        known = plain_labels(labels[labelled])
        return float(super().score(np.asarray(x)[labelled], known, weight))

    def outputs(
        self,
        x: ArrayLike,
        y: Tensor | None = None,
        *,
        domain: Literal["source", "target"] = "target",
    ) -> Outputs:
        """Features and logits of samples of a domain.

        Args:
            x: features, (n, d).
            y: numbers of their classes, where they are known.
            domain: the side that they are of.
        """
        check_is_fitted(self)
        return self._pass(validate_data(self, x, reset=False, dtype=np.float64), y, domain=domain)

    def _pass(
        self, x: NDArray[Any], y: Tensor | None = None, *, domain: Literal["source", "target"]
    ) -> Outputs:
        """What the method makes of samples, in the precision that it is fitted in."""
        dtype = np.float64 if self.method_.closed_form else np.float32
        rows = torch.tensor(x.astype(dtype, copy=False))
        labels = torch.full((len(rows),), UNLABELLED) if y is None else y
        samples = as_samples(rows, labels, domain=int(domain == "target"))
        with torch.no_grad():
            features, logits = self.method_(samples.x, samples.domain)
        return Outputs(*samples, features, logits.double())


def validator_scorer(name: str, **keys: Any) -> Callable[[Any, Any, Any], float]:
    """A validator as a scorer of scikit-learn: it needs no label of the target.

    ::

        GridSearchCV(Estimator("dann"), {"weight": [0.1, 1.0]}, scoring=validator_scorer("entropy"))

    Of the samples that are scored, those with a label are the source's, the others the target's.

    Args:
        name: as after ``validator=``.
        keys: of the validator.

    Returns:
        What scores a fitted ``Estimator``, or a pipeline that ends in one, on x and y.

    Raises:
        InputError: there is no such validator or key.
    """
    words = {f"validator__{key}": value for key, value in keys.items()}
    node = compose_keys({"validator": name, **words})[0]["validator"]
    check_config({"validator": node}, lambda validator: None)
    validator = instantiate(node)

    def score(estimator: Any, x: Any, y: Any) -> float:
        if hasattr(estimator, "steps"):  # a pipeline
            x, estimator = estimator[:-1].transform(x), estimator[-1]
        rows, labels = np.asarray(x), column_or_1d(y)
        labelled = is_labelled(labels)
        outputs: dict[str, Outputs] = {}
        if labelled.any():
            known = plain_labels(labels[labelled])
            numbers = torch.as_tensor(np.searchsorted(estimator.classes_, known))
            outputs["source"] = estimator.outputs(rows[labelled], numbers, domain="source")
        if not labelled.all():
            outputs["target"] = estimator.outputs(rows[~labelled])
        validation = Validation(
            outputs, evaluate_samples=estimator.method_.evaluate_samples, reverse=refuse_reverse
        )
        try:
            return float(validator(validation))
        except KeyError as error:
            raise InputError(
                f"validator={name} needs samples of the {error} among those that are scored: the "
                "target's have the label -1"
            ) from None

    return score


def refuse_reverse() -> NoReturn:
    """Training the other way is for ``da train`` alone."""
    raise InputError("validator=reverse_validation trains anew: da train has it, a scorer has not")


def is_labelled(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Which samples have a label."""
    if labels.dtype.kind in "iu":
        return np.asarray(labels != UNLABELLED)
    if labels.dtype.kind == "f":
        return np.asarray(~np.isnan(labels) & (labels != UNLABELLED))
    return np.array([name not in (None, str(UNLABELLED)) for name in label_names(labels)], bool)


def plain_labels(known: NDArray[Any]) -> NDArray[Any]:
    """Labels in a type of their own, where they stood beside missing ones as objects."""
    return known if known.dtype != object else np.array([*known])


@cache
def make_method(name: str) -> Any:
    """What makes a method by its config's own keys."""
    return instantiate(compose_keys({"method": name})[0]["method"])


def as_samples(x: Tensor, y: Tensor, *, domain: int) -> Samples:
    """Samples of one domain."""
    return Samples(x, y, torch.full((len(x),), domain), torch.arange(len(x)))


def unpassed(samples: Samples) -> Outputs:
    """Samples whose inputs are their features."""
    return Outputs(*samples, features=samples.x, logits=samples.x[:, :0])
