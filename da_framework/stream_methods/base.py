"""What every stream method is: it predicts a batch, then learns from it."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.optim import Optimizer

from da_framework.core.batch import as_input
from da_framework.core.errors import InputError, one_line
from da_framework.datasets.augmentations import BatchRandom, View

VIEW = "~stream_method.view '+stream_method.view={{_target_: {}.{}}}'".format
AUGMENTATIONS = "da_framework.datasets.augmentations"
JITTER = VIEW(AUGMENTATIONS, "Jitter, noise: 0.1, drop: 0.0")
"""The words that put a view of features in the place of one of images."""
WORDS = VIEW(AUGMENTATIONS, "WordsLeftOut, drop: 0.2")
"""The words that put a view of texts there."""
MakeOptimizer = Callable[[list[nn.Parameter]], Optimizer]
"""A partial optimizer, as ``conf/stream_method/*.yaml`` name one."""


class StreamMethod(nn.Module):
    """What every stream method is: it predicts a batch of the target, then learns from it.

    It is given a trained model and inputs, and never a label, a domain or what comes later. All
    that it learns is in parameters, buffers and its optimizer: ``state`` is then whole, and a
    stream goes on from it bit for bit. Random numbers are torch's, which the stream reseeds before
    every batch.

    The model stays in evaluation mode, so that nothing is dropped out; nothing of it is trained but
    what ``train_only`` names.

    Args:
        model: a run's trained method, which makes features and logits of inputs; it is changed.
    """

    needs_source: bool = False
    """Whether ``prepare`` is given inputs of the source, without labels, before the stream."""
    needs_linear_head: ClassVar[bool] = False
    """Whether the logits must be a linear function of the features, by the network's own head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.optimizer: Optimizer | None = None
        self.recoveries = 0
        self._start: dict[str, Any] | None = None

    @property
    def network(self) -> Any:
        """The model's network: encoder and head."""
        return self.model.network

    @property
    def classes(self) -> int:
        """How many can be predicted: the unknown too, where the run's method has a logit for it."""
        task = getattr(self.model, "task", None)
        if task is None:
            return int(self.network.classes)
        return len(task.classes) + (self.model.setting == "open")

    def outputs(self, x: Num[Tensor, "n ..."]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n k"]]:
        """Features and logits of the model as it is now."""
        features, logits = self.model(as_input(x))
        return features, logits

    def logits(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Logits of the model as it is now."""
        return self.outputs(x)[1]

    def prepare(self, source: Num[Tensor, "n ..."]) -> None:
        """Before the stream, where ``needs_source``: inputs of the source, without labels."""

    @torch.no_grad()
    def predict(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Probabilities of the classes; nothing is learnt."""
        return self.logits(x).softmax(1)

    def predict_then_adapt(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Probabilities of a batch's classes, and then what is learnt from it.

        Args:
            x: inputs, as the data set has them: images of bytes, or numbers.
        """
        return self.predict(x)

    def train_only(self, parameters: Iterable[nn.Parameter], optimizer: MakeOptimizer) -> None:
        """Has an optimizer train these parameters, and no others.

        Raises:
            InputError: there are none, or torch refuses the optimizer's settings.
        """
        trained = list(parameters)
        if not trained:
            raise InputError(
                "the run's network has none of the weights that the stream method trains; "
                "stream_method=t3a and lame train none"
            )
        for parameter in trained:
            parameter.requires_grad_()
        try:
            self.optimizer = optimizer(trained)
        except ValueError as error:
            raise InputError(f"stream_method.optimizer: {one_line(error)}") from error

    @property
    def trained(self) -> list[nn.Parameter]:
        """What the optimizer trains; empty where there is none."""
        groups = [] if self.optimizer is None else self.optimizer.param_groups
        return [parameter for group in groups for parameter in group["params"]]

    def beginnings(self) -> list[Tensor]:
        """What the trained parameters were at the stream's begin."""
        assert self._start is not None, "remember comes first"
        places = {id(value): name for name, value in self.named_parameters()}
        return [self._start["module"][places[id(parameter)]] for parameter in self.trained]

    def descend(self, loss: Float[Tensor, ""]) -> None:
        """One step of the optimizer, down the gradient of a loss."""
        assert self.optimizer is not None
        require_gradient(loss)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.step()

    def step(self) -> None:
        """One step of the optimizer, by the gradients that are there.

        Raises:
            InputError: it is beyond all numbers.
        """
        assert self.optimizer is not None
        try:
            self.optimizer.step()
        except RuntimeError as error:
            if "overflow" not in str(error):
                raise
            raise InputError(
                f"stream_method.optimizer.lr is too large: {one_line(error)}"
            ) from None

    def state(self) -> dict[str, Any]:
        """All that it has learnt: a copy."""
        optimizer = None if self.optimizer is None else self.optimizer.state_dict()
        return deepcopy(
            {
                "module": dict(self.state_dict()),
                "optimizer": optimizer,
                "recoveries": self.recoveries,
            }
        )

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes back to a state."""
        self.load_state_dict(state["module"])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(deepcopy(state["optimizer"]))
        self.recoveries = state["recoveries"]

    def remember(self) -> None:
        """Keeps what it is now as what ``reset`` goes back to; the stream does so at its begin."""
        self._start = self.state()

    def reset(self) -> None:
        """Forgets all that it has learnt from the stream."""
        assert self._start is not None, "remember comes first"
        self.load_state({**self._start, "recoveries": self.recoveries})


def require_gradient(loss: Float[Tensor, ""]) -> None:
    """Refuses a loss from which nothing can be learnt.

    Raises:
        InputError: no gradient passes what the run's method predicts by.
    """
    if not loss.requires_grad:
        raise InputError(
            "no gradient passes what the run's method predicts by, and the stream method learns "
            "by gradients; stream_method=lame and frozen do without"
        )


def augment(view: View, x: Num[Tensor, "n ..."]) -> Num[Tensor, "n ..."]:
    """Inputs seen another way, by torch's random numbers; images of bytes become numbers.

    Raises:
        InputError: the view is of inputs of another kind.
    """
    x = as_input(x)
    seed = int(torch.randint(2**31, ()))
    try:
        return view(x, BatchRandom(len(x), slice(None), seed=seed, like=x))
    except InputError as error:
        reason = one_line(error).partition(": ")[0]  # what follows names keys of a data set
        other = f"features: {JITTER}" if x.is_floating_point() else f"texts: {WORDS}"
        raise InputError(f"stream_method.view: {reason}; of {other}") from None
