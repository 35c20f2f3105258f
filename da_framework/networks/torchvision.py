"""The image classifiers of torchvision as backbones."""

import logging
import math
import socket
from pathlib import Path
from typing import Any, Literal, Unpack
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from da_framework.core.errors import InputError, one_line
from da_framework.networks.network import Network
from da_framework.networks.pretrained import (
    Image,
    PretrainedKeys,
    PretrainedModel,
    check_model_name,
    pretrained_network,
)
from da_framework.networks.weights import load_backbone_weights

log = logging.getLogger(__name__)

SERVER_TIMEOUT = 20.0
"""Seconds without a byte after which a server counts as not to be reached."""


def torchvision(
    shape: tuple[int, ...],
    classes: int,
    widths: tuple[int, ...] = (),
    *,
    backbone: str,
    padding: Literal["own", "same"],
    **keys: Unpack[PretrainedKeys],
) -> Network:
    """A model of torchvision without its last layer, then bottleneck and head.

    TorchVision maintainers, "TorchVision: PyTorch's Computer Vision library", 2016.
    https://docs.pytorch.org/vision/stable/models.html

    Args:
        shape: of one image.
        classes: number of logits.
        widths: columns of each domain, where they differ.
        backbone: name of the model.
        padding: ``same``: as TensorFlow pads, for weights that were trained there.
        keys: what every network of a trained backbone has.
    """

    def make(name: str) -> PretrainedModel:
        return torchvision_model(name, padding)

    return pretrained_network(make, shape, classes, widths, backbone, keys)


def torchvision_model(name: str, padding: str = "own") -> PretrainedModel:
    """A classifier of torchvision by name, its last fully connected layer cut off."""
    from torchvision import models

    names = models.list_models(module=models)
    weights: Any = models.get_model_weights(check_model_name(name, names, "torchvision")).DEFAULT
    module = models.get_model(name, weights=None)
    if getattr(module, "aux_logits", False):
        raise InputError(f"network.backbone={name}: it has several outputs in training")
    linear = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise InputError(f"network.backbone={name}: it has no fully connected layer to cut off")
    head = linear[-1]
    module.set_submodule(head, nn.Identity())
    if padding == "same":
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_pre_hook(_pad)
                layer.padding = (0, 0)
    preset = weights.transforms()
    image = Image(
        preset.crop_size[0], tuple(preset.mean), tuple(preset.std), preset.interpolation.value
    )

    def fetch() -> None:
        load_backbone_weights(
            module, fetch_weights(weights), "network.pretrained=true", without=head
        )

    return PretrainedModel(module, head, image, fetch)


def fetch_weights(weights: Any) -> dict[str, Tensor]:
    """Gets weights from torch's cache, or from where they are published.

    Raises:
        InputError: they are in neither.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(weights.url).path).name)
    if not file.is_file():
        log.info("fetching %s to %s", weights.url, file)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SERVER_TIMEOUT)
    try:
        state: dict[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"network.pretrained=true: {weights.url} cannot be fetched "
            f"({one_line(error)}); put it at {file}, or anywhere and name it: "
            "network.weights=FILE"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    return state


def _pad(layer: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    """As much as makes the output as large as the input over the stride, the odd pixel behind."""
    sides: list[int] = []
    for axis in (1, 0):  # torch pads the last axis first
        size, stride = inputs[0].shape[2 + axis], layer.stride[axis]
        reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
        more = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
        sides += [more // 2, more - more // 2]
    return pad(inputs[0], sides)
