"""What of a record names something outside of it, and who decides about that: not the record.

Constructors mark such keys (``core.types.External``): a path, an address, a model on a hub. A
value is taken if somebody has typed it, or if the command has the same one by itself; else the key
is off, or it must be typed.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NotRequired, Required, get_args, get_origin

from omegaconf import OmegaConf

from da_framework.config.allowlist import plain_name, trusted_names
from da_framework.config.plugins import conf_dir
from da_framework.config.schema import read_signature
from da_framework.config.settings import Settings
from da_framework.core.errors import InputError, UntypedError, listed
from da_framework.core.types import External

DROPPED = object()
"""Stands for a key that is left out."""


def resolve_external(
    config: Mapping[str, Any],
    *,
    trust: Sequence[Any] = (),
    typed: Mapping[str, Any] | None = None,
    needed: Callable[[str], bool] = lambda path: True,
    what: str = "the record",
) -> dict[str, Any]:
    """A record's config, in which nothing outside is named that nobody has typed.

    What it names to be built is imported, so it was held against the list before.

    Args:
        config: its parts by name, or some of them.
        trust: values that somebody has typed.
        typed: keys of the data set that the command gives; they take the place of the record's.
        needed: whether something is done with a key, by its path; others are left out.
        what: brings the config, for the message.

    Raises:
        InputError: a key is needed, and nobody has typed its value; names all of them.
    """
    resolver = _Resolver([*trusted_names(trust), *command_places()], typed or {}, needed)
    resolved: dict[str, Any] = resolver.settle(config, "config", external_keys(Settings))
    if resolver.untyped:
        named = [f"{plain_name(name)} ({path})" for name, path in resolver.untyped.items()]
        raise UntypedError(
            f"{what} names {listed(named)}, and a record does not decide what is read or fetched",
            resolver.untyped,
        )
    return resolved


class _Resolver:
    """Goes through a config; collects the values that must be typed, with where they stand."""

    def __init__(
        self, trust: Iterable[str], typed: Mapping[str, Any], needed: Callable[[str], bool]
    ) -> None:
        self.trusted = {place for name in trust for place in (name, absolute(name))}
        self.typed = {f"config.dataset.{key}": value for key, value in typed.items()}
        self.needed = needed
        self.untyped: dict[str, str] = {}

    def settle(self, node: Any, path: str, marks: Mapping[str, External]) -> Any:
        """A node as it may be built, its keys marked so."""
        if isinstance(node, list | tuple):
            return [self.settle(below, f"{path}.{n}", {}) for n, below in enumerate(node)]
        if not isinstance(node, Mapping):
            return node
        if isinstance(node.get("_target_"), str):
            marks = target_keys(node["_target_"])
        settled = {
            key: self.decide(marks[key], value, f"{path}.{key}")
            if key in marks
            else self.settle(value, f"{path}.{key}", {})
            for key, value in node.items()
        }
        return {key: value for key, value in settled.items() if value is not DROPPED}

    def decide(self, mark: External, value: Any, path: str) -> Any:
        """What a marked key is."""
        if path in self.typed:
            return self.typed[path]
        values = value if isinstance(value, list) else [value]
        untyped = [each for each in values if each and not self.is_typed(each, mark)]
        if not untyped:
            return value
        if mark.off is not ...:
            return [each for each in values if each not in untyped] if mark.off == [] else mark.off
        if not self.needed(path):
            return DROPPED
        if not all(isinstance(each, str) for each in untyped):
            raise InputError(f"{plain_name(path)} is no text: {plain_name(repr(value))}")
        self.untyped.update((each, path) for each in untyped)
        return value

    def is_typed(self, value: Any, mark: External) -> bool:
        """Whether a value names nothing outside, or somebody has typed it."""
        known = self.trusted if mark.harmless is None else {*self.trusted, mark.harmless}
        return isinstance(value, str) and not known.isdisjoint((value, absolute(value)))


def absolute(path: str) -> str:
    """A path from the root."""
    try:
        return str(Path(path).expanduser().absolute())
    except (OSError, RuntimeError, ValueError):  # no home, no working folder, no path
        return path


def command_places() -> list[str]:
    """Where every command looks for data and keeps what it computes, if it is told nothing else."""
    keys = {"data.yaml": "data_dir", "train.yaml": "feature_cache"}
    configs = {name: OmegaConf.load(conf_dir() / name) for name in keys}
    return [str(OmegaConf.select(configs[name], key)) for name, key in keys.items()]


def target_keys(target: str) -> Mapping[str, External]:
    """The marked keys of what a name builds; none if it cannot be imported."""
    try:
        return external_keys(resolve_name(target))
    except Exception:  # whatever an import may raise: whoever builds it says so
        return {}


@cache
def external_keys(target: Any) -> Mapping[str, External]:
    """The marked keys of what a constructor takes, those that it hands to its bases among them."""
    kinds = reversed(target.__mro__) if inspect.isclass(target) else (target,)
    marks: dict[str, External] = {}
    for kind in kinds:
        try:
            known, *_ = read_signature(kind)
        except (TypeError, ValueError):  # built in: it declares nothing
            continue
        marks |= {key: mark for key, hint in known.items() if (mark := external_mark(hint))}
        written = getattr(kind.__init__ if inspect.isclass(kind) else kind, "__annotations__", {})
        # hints that cannot be resolved stay text: the mark counts, whatever it says
        unread = {key for key, hint in written.items() if known.get(key) is Any}
        marks |= {key: External() for key in unread if "External(" in str(written[key])}
    return marks


def external_mark(hint: Any) -> External | None:
    """The mark in an annotation, if there is one."""
    while get_origin(hint) in (NotRequired, Required):
        (hint,) = get_args(hint)
    marks = getattr(hint, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, External)), None)
