"""The one wrapper around instantiate: a constructor's signature is the schema of its config."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any, get_args, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import is_typeddict

from da_framework.config.moved import KEYS, moved_target
from da_framework.core.errors import InputError, listed, one_line

SPECIAL = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
STRICT = ConfigDict(arbitrary_types_allowed=True, strict=True)


def to_plain(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The config as dicts and lists, references resolved."""
    if not isinstance(config, DictConfig):
        return dict(config)
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def instantiate(node: Any) -> Any:
    """Builds what a node's ``_target_`` names, with plain Python values.

    Raises:
        InputError: as the constructor raised it.
    """
    try:
        return hydra_instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise


def check_config(config: Mapping[str, Any], schema: Callable[..., Any]) -> None:
    """Holds a whole config against a signature, nested nodes against their targets'.

    Raises:
        InputError: with one line for every wrong key, type or range.
    """
    if errors := list(config_errors(config, schema, "", partial=False)):
        raise InputError("\n".join(errors))


def config_errors(
    node: Mapping[str, Any], target: Callable[..., Any], path: str, *, partial: bool
) -> Iterator[str]:
    """A line for everything wrong with a node."""
    known, required, later, open_ended = read_signature(target)
    for key, value in node.items():
        where = f"{path}.{key}" if path else str(key)
        if key in SPECIAL:
            continue
        if key not in known and not open_ended:
            yield f"{where}: there is no such key; {key_hint(where, known)}"
        elif has_targets(value):
            yield from nested_errors(value, where)
        else:
            yield from type_errors(value, known.get(key, Any), where)
    for key in (required if partial else required | later) - node.keys():
        yield f"{path}.{key}: missing" if path else f"{key}: missing"


def key_hint(path: str, known: Iterable[str]) -> str:
    """What somebody may have meant by a dotted key that is not there."""
    if path in KEYS:
        return f"it is now {KEYS[path]}"
    near = get_close_matches(path.rpartition(".")[2], known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"the keys are {listed(sorted(known))}"


def nested_errors(value: Any, path: str) -> Iterator[str]:
    """The problems of the nodes inside a value."""
    if isinstance(value, Mapping) and "_target_" in value:
        try:
            target = resolve_name(value["_target_"])
        except Exception as error:  # whatever a plugin's import may raise
            now = moved_target(str(value["_target_"]))
            reason = one_line(error) if now == value["_target_"] else f"it is now {now}"
            yield f"{path}: cannot import {value['_target_']}: {reason}"
            return
        yield from config_errors(value, target, path, partial=bool(value.get("_partial_")))
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from nested_errors(below, f"{path}.{key}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from nested_errors(below, f"{path}.{index}")


def type_errors(value: Any, hint: Any, path: str) -> Iterator[str]:
    """Where a plain value is not of its type or range."""
    if value == "???":
        yield f"{path}: must be given"
        return
    try:
        adapter = TypeAdapter(hint, config=STRICT)
    except PydanticUserError:  # classes bring their own strictness
        try:
            adapter = TypeAdapter(hint)
        except PydanticUserError:
            return  # another library's type that has no schema
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        reasons: dict[str, tuple[list[str], Any]] = {}
        for detail in error.errors():
            keys = mapping_keys(value)
            inside = [str(part) for part in detail["loc"] if isinstance(part, int) or part in keys]
            alternatives, _ = reasons.setdefault(".".join([path, *inside]), ([], detail["input"]))
            alternatives.append(detail["msg"][0].lower() + detail["msg"][1:])
        for where, (alternatives, given) in reasons.items():
            yield f"{where}: {', or '.join(alternatives)}, but it is {given!r}"


def mapping_keys(value: Any) -> set[str]:
    """The keys within a value, to tell them from pydantic's names of union members."""
    return set(value) if isinstance(value, Mapping) else set()


def has_targets(value: Any) -> bool:
    """Whether something in a value is to be instantiated."""
    if isinstance(value, Mapping):
        return "_target_" in value or any(has_targets(own) for own in value.values())
    return isinstance(value, list) and any(has_targets(own) for own in value)


def read_signature(target: Callable[..., Any]) -> tuple[dict[str, Any], set[str], set[str], bool]:
    """What a callable takes.

    Returns:
        The types of its keys; those it must be given in a config; those that code may give later,
        by position, where the config makes a partial; and whether it takes any other.
    """
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    known: dict[str, Any] = {}
    required: set[str] = set()
    later: set[str] = set()
    open_ended = False
    for name, parameter in inspect.signature(target).parameters.items():
        hint = hints.get(name, Any)
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = get_args(hint)[0] if get_args(hint) else None
            if extra is not None and is_typeddict(extra):
                known |= get_type_hints(extra, include_extras=True)
                required |= extra.__required_keys__
            else:
                open_ended = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            known[name] = hint
            if parameter.default is parameter.empty:
                (required if parameter.kind is parameter.KEYWORD_ONLY else later).add(name)
    return known, required, later, open_ended
