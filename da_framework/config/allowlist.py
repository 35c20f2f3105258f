"""What a file may name to be built: a record is data, and data may come from anywhere.

A name is allowed if an installed config of such a part names it, ours or a plugin's, or if it is a
layer, an optimizer or a model on the lists here. What a person types may name more.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from da_framework.config.plugins import conf_dir, config_roots
from da_framework.config.relevance import GROUPS
from da_framework.core.errors import InputError, UntypedError, listed

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
"""The lists, by module. Of timm and transformers there is none: our networks make their models."""
POSITIONAL = ("torch.nn", "torch.optim")
"""Modules whose classes are given nothing by position that could fetch, read or write."""

APART = ("dataset", "trainer", "logger", "callback")
"""Parts that alone are built of what configs of their group name: they read and write. No record
is built with the last two, but experiments may name them."""
DEEPEST = 50
"""Levels that a config may have; ours have seven."""

TARGET = re.compile(r"""_target_["']?: *["']?([\w.]+)""")
SECTION = re.compile(rf"^(\w+):|{TARGET.pattern}", re.MULTILINE)


def check_record(
    config: Mapping[str, Any], *, trust: Sequence[Any] = (), what: str = "the record"
) -> None:
    """Refuses a config of a record that names more than it may; nothing is imported for that.

    Args:
        config: its parts by name, or some of them.
        trust: further names, which a person has typed, or the objects themselves.
        what: brings the config, for the message.

    Raises:
        InputError: it names something else, or refers to what is outside of it.
    """
    trusted = trusted_names(trust)
    for path, node in walk(dict(config)):
        if reason := refusal(node, trusted):
            raise InputError(f"{what} {reason} ({plain_name(path)}): refused")
    if refused := unknown_targets(config, trusted, what=what):
        raise UntypedError(
            f"{what} names {describe_targets(refused)}, which neither an installed config of this "
            "part names nor a list of layers and models: install the plugin that it is of",
            refused,
        )


def check_experiment(config: Mapping[str, Any], file: Path) -> None:
    """Refuses an experiment that names more than configs of its package and ours do.

    Raises:
        InputError: it names something else, or trusts something.
    """
    if config.get("trust"):
        raise InputError(f"{file} has trust, which nobody but a person types: refused")
    if refused := unknown_targets(config, what=str(file)):
        raise InputError(
            f"{file} names {describe_targets(refused)}, which neither an installed config of this "
            "part names nor a list of layers and models: its package needs a config that does"
        )


def unknown_targets(
    config: Mapping[str, Any], trusted: Sequence[str] = (), *, what: str
) -> dict[str, str]:
    """What a config names beside what it may, with where it first stands.

    Raises:
        InputError: it would build what is no name.
    """
    refused: dict[str, str] = {}
    for part, below in config.items():
        for path, target, _ in named_targets(below, f"config.{part}"):
            if not isinstance(target, str):
                given = plain_name(repr(target))
                raise InputError(f"{what} builds what is no name ({plain_name(path)}): {given}")
            if target not in trusted and target not in allowed_targets(part):
                refused.setdefault(target, path)
    return refused


def describe_targets(refused: Mapping[str, str]) -> str:
    """Names with where they stand, the first three of them."""
    named = [f"{plain_name(name)} ({plain_name(path)})" for name, path in refused.items()]
    return listed(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")


def trusted_names(trust: Sequence[Any]) -> list[str]:
    """What a person trusts, by name: of a class or a function, its own."""
    return [
        f"{each.__module__}.{each.__qualname__}" if callable(each) else str(each) for each in trust
    ]


def refusal(node: Any, trusted: Sequence[str]) -> str:
    """What in a node no record may have, whoever trusts it; empty if there is nothing."""
    if isinstance(node, str) and "${" in node:
        return "refers to what is outside of it"
    if not isinstance(node, Mapping):
        return ""
    if any("${" in str(key) for key in node):
        return "refers to what is outside of it"
    key = fetching(node, trusted)
    return f"has {key}, which may fetch" if key else ""


def fetching(node: Mapping[str, Any], trusted: Sequence[str]) -> str:
    """The key of a node that would have something fetched; empty if there is none."""
    if node.get("trust_remote_code"):
        return "trust_remote_code"
    target = str(node.get("_target_", ""))
    module = target.rpartition(".")[0]
    if node.get("_args_") and not (module in POSITIONAL or target in trusted):
        return "_args_"
    keys = FETCHING if module in LIBRARIES else frozenset()
    return next((key for key in sorted(keys & node.keys()) if node[key]), "")


def allowed_targets(part: str) -> frozenset[str]:
    """What a part of a record may name to be built."""
    return listed_targets() | installed_targets().get(part, installed_targets()[""])


@cache
def listed_targets() -> frozenset[str]:
    """The layers, optimizers and models on the lists."""
    return frozenset(f"{module}.{name}" for module, names in LIBRARIES.items() for name in names)


@cache
def installed_targets() -> Mapping[str, frozenset[str]]:
    """What installed configs name to be built, ours and plugins', for each part that is apart.

    Below ``""`` are those of all other parts, which may stand in one another: a schedule in a
    method. Of experiments ours count; another package's are held against the list themselves.
    """
    names: dict[str, set[str]] = {part: set() for part in ("", *APART)}
    for _, root in config_roots():
        for group in (*GROUPS, "term", *APART[1:]):
            for file in (root / group).rglob("*.yaml"):
                names[group if group in APART else ""].update(TARGET.findall(read_text(file)))
    for file in (conf_dir() / "experiments").rglob("*.yaml"):
        for section, target in section_targets(read_text(file)):
            names[section if section in APART else ""].add(target)
    return {part: frozenset(found) for part, found in names.items()}


def read_text(file: Path) -> str:
    """A config as it is written."""
    return file.read_text(encoding="utf-8")


def section_targets(text: str) -> Iterator[tuple[str, str]]:
    """What a config names to be built, with the top-level key that it stands below."""
    section = ""
    for match in SECTION.finditer(text):
        if match[1]:
            section = match[1]
        else:
            yield section, match[2]


def plain_name(text: str, *, most: int = 100) -> str:
    """A name that a file brings, as it may be printed."""
    shown = text if text.isascii() and text.isprintable() else ascii(text)
    return shown if len(shown) <= most else f"{shown[:most]}..."


def named_targets(
    config: Any, path: str = "config"
) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Every ``_target_`` in a config, with where it stands and the node that it is of."""
    for where, node in walk(config, path):
        if isinstance(node, Mapping) and "_target_" in node:
            yield where, node["_target_"], node


def walk(node: Any, path: str = "config") -> Iterator[tuple[str, Any]]:
    """A config and all that is in it, with where it stands.

    Raises:
        InputError: it has more levels than any config has.
    """
    waiting = [(path, node, 0)]
    while waiting:
        path, node, level = waiting.pop()
        if level > DEEPEST:
            raise InputError(f"{plain_name(path)}: this has more than {DEEPEST} levels: refused")
        yield path, node
        inside: Iterable[tuple[Any, Any]] = ()
        if isinstance(node, Mapping):
            inside = node.items()
        elif isinstance(node, list | tuple):
            inside = enumerate(node)
        below = [(f"{path}.{key}", value, level + 1) for key, value in inside]
        waiting += reversed(below)
