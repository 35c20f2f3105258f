"""What a file may name to be built: a record is data, and data may come from anywhere.

A name is allowed if an installed config names it, ours or a plugin's, or if it is a layer, an
optimizer or a model on the lists here. What a person types may name more.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any

from da_framework.config.plugins import config_roots
from da_framework.config.relevance import GROUPS
from da_framework.core.errors import InputError

LAYERS = frozenset(
    """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d AdaptiveMaxPool2d AvgPool1d AvgPool2d
    BatchNorm1d BatchNorm2d BatchNorm3d Bilinear CELU Conv1d Conv2d Conv3d ConvTranspose1d
    ConvTranspose2d CrossEntropyLoss Dropout Dropout1d Dropout2d ELU Embedding Flatten GELU GLU
    GRU GroupNorm Hardsigmoid Hardswish Hardtanh Identity InstanceNorm1d InstanceNorm2d LSTM
    LayerNorm LeakyReLU Linear LogSoftmax MSELoss MaxPool1d MaxPool2d Mish MultiheadAttention
    PReLU RMSNorm RNN ReLU ReLU6 SELU Sequential SiLU Sigmoid SmoothL1Loss Softmax Softplus
    Softsign Tanh TransformerEncoder TransformerEncoderLayer Unflatten Upsample
    """.split()  # noqa: SIM905 a line of names is easier to read than a hundred lines
)
"""Classes of ``torch.nn``."""

OPTIMIZERS = frozenset(
    """
    ASGD Adadelta Adagrad Adam AdamW Adamax NAdam RAdam RMSprop Rprop SGD
    """.split()  # noqa: SIM905 a line of names is easier to read than a hundred lines
)
"""Classes of ``torch.optim``."""

IMAGE_MODELS = frozenset(
    """
    alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161
    densenet169 densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3
    efficientnet_b4 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s mnasnet0_5 mnasnet1_0
    mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_y_400mf regnet_y_8gf resnet101
    resnet152 resnet18 resnet34 resnet50 resnext101_32x8d resnext50_32x4d shufflenet_v2_x1_0
    squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t vgg11 vgg11_bn vgg13 vgg16 vgg16_bn vgg19
    vit_b_16 vit_b_32 vit_l_16 wide_resnet101_2 wide_resnet50_2
    """.split()  # noqa: SIM905 a line of names is easier to read than a hundred lines
)
"""Makers of models in ``torchvision.models``."""

FETCHING = frozenset({"pretrained", "progress", "trust_remote_code", "weights", "weights_backbone"})
"""Keys of a library's maker that would fetch something, or run what was fetched."""

LIBRARIES = {"torch.nn": LAYERS, "torch.optim": OPTIMIZERS, "torchvision.models": IMAGE_MODELS}

TARGET = re.compile(r"""_target_["']?: *["']?([\w.]+)""")


def check_record(config: Mapping[str, Any], *, trust: Collection[str] = ()) -> None:
    """Refuses a config of a record that names more than it may; nothing is imported for that.

    Args:
        config: or a part of it.
        trust: further names, which a person has typed.

    Raises:
        InputError: it names something else, or refers to what is outside of it.
    """
    for path, target, node in named_targets(config):
        if target in trust or target in installed_targets():
            continue
        module, _, name = str(target).rpartition(".")
        if name not in LIBRARIES.get(module, frozenset()):
            raise InputError(
                f"the record names {target} ({path}), which neither an installed config names nor "
                "a list of layers and models: install the plugin that it is of, or, if you know "
                f"what it is, type it again: trust=[{target}]"
            )
        if fetching := sorted(key for key in FETCHING & node.keys() if node[key]):
            raise InputError(f"the record has {path}.{fetching[0]}, which may fetch: refused")
    for path, text in walk(config):
        if isinstance(text, str) and "${" in text:
            raise InputError(f"the record refers to what is outside of it ({path}): refused")


@cache
def installed_targets() -> frozenset[str]:
    """What the installed configs of a run's parts name to be built, ours and plugins'.

    Neither loggers nor callbacks are among them: they write, and no record is built with any.
    """
    files = (
        file
        for _, root in config_roots()
        for group in (*GROUPS, "term", "trainer", "experiments")
        for file in (root / group).rglob("*.yaml")
    )
    return frozenset(name for file in files for name in TARGET.findall(file.read_text("utf-8")))


def named_targets(config: Any) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Every ``_target_`` in a config, with where it stands and the node that it is of."""
    for path, node in walk(config):
        if isinstance(node, Mapping) and "_target_" in node:
            yield path, node["_target_"], node


def walk(node: Any, path: str = "config") -> Iterator[tuple[str, Any]]:
    """A config and all that is in it, with where it stands."""
    yield path, node
    if isinstance(node, Mapping | list):
        inside = node.items() if isinstance(node, Mapping) else enumerate(node)
        for key, value in inside:
            yield from walk(value, f"{path}.{key}")
