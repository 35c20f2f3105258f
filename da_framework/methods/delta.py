"""Fine-tuning that keeps the channels which matter."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from da_framework.core.batch import Outputs, Task, Term, as_input
from da_framework.core.errors import InputError, listed
from da_framework.core.types import Fraction, NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.closed_form import linear_weights
from da_framework.methods.fine_tuning import FineTuning
from da_framework.methods.l2_sp import half_square
from da_framework.networks.frozen import Frozen
from da_framework.networks.network import Network


class DELTA(FineTuning):
    r"""Deep learning transfer with attention: fine-tuning that keeps the feature maps that matter.

    .. math:: \alpha \sum_{l} \sum_{j} W_{lj} \, \overline{\lVert F_{lj}(w, x)
        - F_{lj}(w^0, x) \rVert^2} + \frac{\beta}{2} \lVert w_{\text{new}} \rVert^2

    over the channels j of the layers l. :math:`W_l` is the softmax of what it costs the starting
    network, with a head fitted to the labelled samples, to lose a channel.

    Li et al., "DELTA: Deep Learning Transfer using Feature Map with Attention for Convolutional
    Networks", ICLR 2019. https://arxiv.org/abs/1901.09229
    Departures: the head that channels are judged with is a logistic regression; the layers are
    parts of the encoder by name.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: α.
        new_weight: β of weights that the run did not give.
        layers: names below the encoder, such as ``backbone.3``; ``None``: every convolution and
            every fully connected layer.
        gradual: as of ``FineTuning``.

    Raises:
        InputError: the encoder has no layer of such a name, or none at all.
    """

    refreshes: ClassVar = ("target_labelled",)
    exempt_from: ClassVar = {
        "refreshes_anew": "channels are judged once, by the network it begins with"
    }
    needs_raw_inputs: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        new_weight: NonNegative,
        layers: list[str] | None,
        gradual: Fraction,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, gradual=gradual, **base)
        self.start = Frozen(network)
        self.weight = weight
        self.new_weight = new_weight
        named = {name: layer for name, layer in network.encoder.named_modules() if name}
        usual = [
            n
            for n, layer in named.items()
            if not n.startswith("adapter") and isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)
        ]
        self.layers = tuple(usual if layers is None else layers)
        if not self.layers or not named.keys() >= set(self.layers):
            raise InputError(f"method.layers: the encoder's layers are {listed(named)}")
        with record_maps(self.start.module.encoder, self.layers) as maps, torch.no_grad():
            sample = torch.zeros(1, *task.shape).to(next(network.parameters()))
            self.start.module.encoder(sample)
        for number, feature_map in enumerate(maps.values()):
            channels = feature_map.shape[1]
            self.register_buffer(f"attention_{number}", torch.full((channels,), 1 / channels))

    def attention(self, number: int) -> Tensor:
        """How much each channel of a layer matters; they sum to 1."""
        return self.get_buffer(f"attention_{number}")

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        if self.progress:  # judged once, by the network it began with
            return
        from sklearn.linear_model import LogisticRegression

        labelled, encoder = outputs["target_labelled"], self.start.module.encoder
        x, y = as_input(labelled.x[:]).to(next(encoder.parameters())), labelled.y
        if len(torch.unique(y)) < 2:
            return
        features = labelled.features
        model = LogisticRegression(max_iter=1000).fit(features.cpu().numpy(), y.cpu().numpy())
        weight, bias = linear_weights(model, len(self.task.classes), features)

        def cost() -> Tensor:
            return cross_entropy(encoder(x).to(weight) @ weight.T + bias, y)

        with torch.no_grad():
            for number, name in enumerate(self.layers):
                attention = self.attention(number)
                costs = []
                for channel in range(len(attention)):
                    with channel_removed(encoder.get_submodule(name), channel):
                        costs.append(cost())
                attention.copy_((torch.stack(costs) - cost()).softmax(0))

    def outputs(self, batch: Mapping[str, Any]) -> Mapping[str, Outputs]:
        with record_maps(self.network.encoder, self.layers) as self._maps:
            return super().outputs(batch)

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        x = as_input(outputs["target_labelled"].x)
        with record_maps(self.start.module.encoder, self.layers) as start:
            self.start(x.to(next(self.start.parameters())))
        values = []
        for number, name in enumerate(self.layers):
            attention = self.attention(number)
            change = (self.gather(self._maps[name]) - start[name]).square()
            if change.ndim > 2:
                change = change.flatten(2).sum(2)
            values.append((attention * change).sum(1).mean())
        loaded = self.network.loaded
        new = [weight for name, weight in self.network.named_parameters() if name not in loaded]
        terms = {"maps": Term(torch.stack(values).sum(), self.weight)}
        return terms | ({"new": Term(half_square(new), self.new_weight)} if new else {})


@contextmanager
def record_maps(encoder: nn.Module, layers: tuple[str, ...]) -> Iterator[dict[str, Tensor]]:
    """Records what the named layers put out in a forward pass, channels in the second axis."""
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            maps[name] = output

        return hook

    hooks = [encoder.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def channel_removed(layer: nn.Module, channel: int) -> Iterator[None]:
    """Sets one channel of a layer's output to 0."""

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, channel] = 0
        return output

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
