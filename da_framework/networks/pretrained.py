"""Backbones that other libraries have trained, and how their images must look."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from da_framework.core.errors import InputError, listed, one_line
from da_framework.core.types import Count, External, Finite, NonNegative, Positive
from da_framework.networks.network import Network, NetworkKeys
from da_framework.networks.weights import load_backbone_weights, read_weights

Channels = Field(min_length=3, max_length=3)


class PretrainedKeys(NetworkKeys):
    """The keys of every network whose backbone is an image model of another library.

    Attributes:
        pretrained: begins with the library's own weights, fetched once; refused where there are
            none and where they cannot be fetched.
        weights: a file of weights to begin with instead; see ``weights.read_weights``.
        size: side that images are brought to; ``None``: the model's own.
        mean: of each channel, of pixels in [0, 1]; ``None``: the model's own.
        std: likewise.
        backbone_factor: learning-rate factor of a backbone that begins with weights, beside what
            is new: 0.1 as in Long et al., ICML 2015, section 4.1, and the field since; a prefix in
            ``optimizer.factor`` goes first.
    """

    pretrained: Annotated[bool, External(off=False)]
    weights: Annotated[str | None, External(off=None)]
    size: Count | None
    mean: Annotated[list[Finite], Channels] | None
    std: Annotated[list[Positive], Channels] | None
    backbone_factor: NonNegative


class Image(NamedTuple):
    """How the images were made that a model was trained on: size, mean, deviation, resizing."""

    size: int
    mean: Sequence[float]
    std: Sequence[float]
    interpolation: str


class PretrainedModel(NamedTuple):
    """A library's model, its last layer cut off.

    Attributes:
        module: turns images into flat features.
        head: prefix of the last layer in its weights.
        image: as its authors' weights were trained on.
        fetch: gives it the library's weights.
    """

    module: nn.Module
    head: str
    image: Image
    fetch: Callable[[], None]


class Preprocess(nn.Module):
    """Bytes as they come from the data, in [-1, 1], as a model was trained to see them.

    Grey images are given to all channels; those of another size are resized.

    Args:
        image: how the model's are made.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, image: Image) -> None:
        super().__init__()
        self.image = image
        self.passed_shape = (len(image.mean), image.size, image.size)
        for name in ("mean", "std"):
            channels = torch.tensor(getattr(image, name)).view(-1, 1, 1)
            self.register_buffer(name, channels, persistent=False)

    def forward(self, x: Float[Tensor, "rows c h w"]) -> Float[Tensor, "rows channels side side"]:
        """What the model is given."""
        size = (self.image.size, self.image.size)
        if x.shape[2:] != size:
            x = interpolate(x, size, mode=self.image.interpolation, antialias=True)
        return ((x + 1) / 2 - self.mean) / self.std

    def extra_repr(self) -> str:
        return str(self.image)


def pretrained_network(
    make: Callable[[str], PretrainedModel],
    shape: tuple[int, ...],
    classes: int,
    widths: tuple[int, ...],
    name: str,
    keys: PretrainedKeys,
) -> Network:
    """A network on a library's model.

    Args:
        make: builds the model of a name.
        shape: of one image.
        classes: number of logits.
        widths: columns of each domain, where they differ.
        name: of the model.
        keys: what it begins with, and what follows it.

    Raises:
        InputError: the inputs are no images it can take, or the weights are not to be had.
    """

    def backbone(shape: tuple[int, ...]) -> nn.Module:
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise InputError(
                f"network.backbone={name} needs images of 1 or 3 channels, but an input has the "
                f"shape {shape}"
            )
        model = make(name)
        given = {"size": keys["size"], "mean": keys["mean"], "std": keys["std"]}
        changed: Any = {key: value for key, value in given.items() if value is not None}
        file = keys["weights"]
        if file is not None and keys["pretrained"]:
            raise InputError("network.weights and network.pretrained=true: one of the two")
        if file is not None:
            state = read_weights(file)
            key = f"network.weights={file}"
            load_backbone_weights(model.module, state, key, without=model.head)
        elif keys["pretrained"]:
            model.fetch()
        return with_preprocessing(model.module, model.image._replace(**changed), name, shape)

    others: Any = {key: given for key, given in keys.items() if key in NetworkKeys.__annotations__}
    network = Network(shape, classes, widths, backbone=backbone, **others)
    if keys["pretrained"] or keys["weights"] is not None:
        network.backbone_factor = keys["backbone_factor"]
    return network


def with_preprocessing(
    module: nn.Module, image: Image, name: str, shape: tuple[int, ...]
) -> nn.Module:
    """Has a model take images as the data has them: it preprocesses them itself.

    Raises:
        InputError: it cannot take images of this size.
    """
    module.preprocess = Preprocess(image)
    module.register_forward_pre_hook(_preprocess)
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(1, *shape))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InputError(
            f"network.backbone={name} cannot take images of {image.size} x {image.size} pixels "
            f"(network.size): {one_line(error)}"
        ) from None
    return module.train()


def _preprocess(module: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    prepared: Tensor = module.preprocess(inputs[0])
    return prepared


def check_model_name(name: str, names: Sequence[str], library: str) -> str:
    """A model's name, if a library has it.

    Raises:
        InputError: it does not have it; names those that are near.
    """
    if name not in names:
        near = get_close_matches(name, names, n=3, cutoff=0.3)
        raise InputError(
            f"network.backbone={name}: {library} has no such model; "
            f"nearest: {listed(near or sorted(names)[:3])}"
        )
    return name
