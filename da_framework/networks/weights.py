"""Weights from files: read without running anything, and refused by name where they do not fit."""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from da_framework.core.damage import explain_damage, read_torch, refuse_other_files
from da_framework.core.errors import InputError, listed

log = logging.getLogger(__name__)

WEIGHTS = "file of weights"
ANOTHER = "other things than tensors are not read; network.weights names another"
WEIGHT_SUFFIXES = tuple(f".{end}" for end in ("safetensors", "pt", "pth", "bin", "ckpt", "tar"))
WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "teacher", "student")
"""Keys below which checkpoints have the weights, those that are taken first before others."""
NO_WEIGHTS = ("optim", "sched", "scaler")
"""How keys begin that have tensors of something else."""
DEEPEST = 4
"""Mappings in each other, of which checkpoints have two."""


def read_weights(file: str) -> dict[str, Tensor]:
    """Reads the tensors in a file, by name.

    A pickle is read by torch's list of harmless types; nothing else is ever unpickled.

    Args:
        file: ``.safetensors``, or a state dict that torch has saved.

    Raises:
        InputError: it is not there, damaged, or holds other things than tensors.
    """
    path, key = Path(file).expanduser(), f"network.weights={file}"
    if not path.is_file():
        raise InputError(f"{key}: {path.absolute()} is not there")
    if path.suffix not in WEIGHT_SUFFIXES:
        raise InputError(f"{key}: files that end in {listed(WEIGHT_SUFFIXES)} are read")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        with explain_damage(path, WEIGHTS, mend=ANOTHER):
            refuse_other_files(path)
            state: Any = load_file(path)
    else:
        state = read_torch(path, WEIGHTS, mend=ANOTHER)
    if not (weights := find_state(state)):
        raise InputError(f"{key}: it holds no state dict: names and their tensors")
    return weights


def find_state(tree: Any, depth: int = DEEPEST) -> dict[str, Tensor]:
    """The state dict in what a file holds; empty if there is none.

    It is what is there, or below the first of the usual keys that has one, or else the largest
    below another key; numbers and texts beside tensors are left out.
    """
    if not isinstance(tree, Mapping) or not depth:
        return {}
    tensors = {n: w for n, w in tree.items() if isinstance(n, str) and isinstance(w, Tensor)}
    below = {
        key: find_state(value, depth - 1)
        for key, value in tree.items()
        if isinstance(key, str) and not key.lower().startswith(NO_WEIGHTS)
    }
    usual = (below[key] for key in WRAPPERS if below.get(key))
    return next(usual, max([tensors, *below.values()], key=len))


def load_backbone_weights(
    model: nn.Module, state: Mapping[str, Tensor], key: str, *, without: str
) -> None:
    """Gives a model its weights.

    Args:
        model: whose last layer is cut off.
        state: weights by name.
        key: that names them, for the message.
        without: prefix of the last layer, which they may have; ``""`` where there is none.

    Raises:
        InputError: they are another model's; says which differ.
    """
    expected = model.state_dict()
    own = without_prefix(state, expected)
    parts = {name.partition(".")[0] for name in expected}
    given = {
        name: weight
        for name, weight in own.items()
        if not (without and name.startswith(f"{without}.")) and name.partition(".")[0] in parts
    }
    # counters that old files do not have, and that change nothing
    counters = {n: w for n, w in expected.items() if n.endswith("num_batches_tracked")}
    if differing := weight_differences(counters | given, expected):
        raise InputError(f"{key}: the weights are another model's: {name_first(differing)}")
    model.load_state_dict(given, strict=False)
    if len(given) < len(state):
        others = dict.fromkeys(n.rpartition(".")[0] or n for n in own if n not in given)
        log.info("%s: left out, since the backbone has none such: %s", key, listed(others))


def without_prefix(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The weights by the names that a model has for them, without what stands before these.

    Checkpoints have ``module.``, ``model.``, ``encoder.`` and the like before them; the prefix is
    the one under which most of the expected names are there. Names without it stay.
    """
    counts: Counter[str] = Counter()
    for name in state:
        for place in (0, *(at + 1 for at, sign in enumerate(name) if sign == ".")):
            if name[place:] in expected:
                counts[name[:place]] += 1
    prefix = counts.most_common(1)[0][0] if counts else ""
    return {
        name.removeprefix(prefix): weight
        for name, weight in sorted(state.items(), key=lambda item: item[0].startswith(prefix))
    }


def weight_differences(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """What differs between the names and shapes of two sets of weights."""
    sizes = [
        {name: tuple(weight.shape) for name, weight in side.items()} for side in (given, expected)
    ]
    return [
        f"{name} {sizes[0].get(name, 'missing')} there, {sizes[1].get(name, 'missing')} here"
        for name in dict.fromkeys((*sizes[0], *sizes[1]))
        if sizes[0].get(name) != sizes[1].get(name)
    ]


def name_first(differing: list[str]) -> str:
    """Names three differences, and says how many more there are."""
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    return "; ".join(differing[:3]) + more
