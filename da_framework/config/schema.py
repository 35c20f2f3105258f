"""The one wrapper around instantiate: a constructor's signature is the schema of its config."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import is_typeddict

from da_framework.config.moved import moved_key, moved_target
from da_framework.core.errors import InputError, listed, one_line
from da_framework.core.types import ForAll

SPECIAL = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
STRICT = ConfigDict(arbitrary_types_allowed=True, strict=True)


def to_plain(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The config as dicts and lists, references resolved."""
    if not isinstance(config, DictConfig):
        return dict(config)
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(explain_reference(error)) from None
    return with_home_folder(plain)  # type: ignore[no-any-return]


def explain_reference(error: Exception) -> str:
    """What of a value refers to something that is not there, on a line."""
    reason, *below = str(error).splitlines()
    where = next((line.split(":")[1].strip() for line in below if "full_key" in line), "")
    where = "" if where.startswith("hydra") else where  # whose names hold the words that were typed
    return (
        f"{where + ': ' if where else ''}{reason}; "
        r"${...} refers to another key: a dollar sign itself is \$"
    )


def with_home_folder(value: Any) -> Any:
    """A plain value in which a leading ``~/`` is the home folder, as it is to a shell."""
    if isinstance(value, dict):
        return {key: with_home_folder(below) for key, below in value.items()}
    if isinstance(value, list):
        return [with_home_folder(below) for below in value]
    if isinstance(value, str) and (value == "~" or value.startswith("~/")):
        return str(Path(value).expanduser())
    return value


def keep_dollars(value: Any) -> Any:
    """A plain value whose texts refer to nothing: references were resolved when it was composed."""
    if isinstance(value, dict):
        return {key: keep_dollars(below) for key, below in value.items()}
    if isinstance(value, list):
        return [keep_dollars(below) for below in value]
    if isinstance(value, str):  # Hydra resolves twice, and each takes one of two backslashes away
        return re.sub(r"(\\*)\$\{", lambda found: "\\" * (4 * len(found[1]) + 3) + "${", value)
    return value


def instantiate(node: Any) -> Any:
    """Builds what a node's ``_target_`` names, with plain Python values.

    Raises:
        InputError: as the constructor raised it.
    """
    try:
        return hydra_instantiate(keep_dollars(as_meant(node)), _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise


def check_config(config: Mapping[str, Any], schema: Callable[..., Any]) -> dict[str, Any]:
    """Holds a whole config against a signature, nested nodes against their targets'.

    Returns:
        The config, its own values of the types that they can only mean.

    Raises:
        InputError: with one line for every wrong key, type or range.
    """
    if errors := list(config_errors(config, schema, "", partial=False)):
        raise InputError(*errors)
    known = read_signature(schema)[0]
    return {
        key: value if has_targets(value) else meant_value(value, known.get(key, Any))
        for key, value in config.items()
    }


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
    if (now := moved_key(path)) != path:
        return f"it is now {now}"
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
        try:
            inspect.signature(target)
        except (TypeError, ValueError):  # a module, a number, a builtin type
            yield f"{path}: {value['_target_']} does not say what it takes; no config can build it"
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
    adapter = type_adapter(hint)
    if adapter is None:
        return
    try:
        adapter.validate_python(meant_value(value, hint), strict=True)
    except ValidationError as error:
        reasons: dict[str, tuple[list[str], Any]] = {}
        for detail in error.errors():
            keys = mapping_keys(value)
            inside = [str(part) for part in detail["loc"] if isinstance(part, int) or part in keys]
            if detail["type"] == "missing":
                yield f"{path}.{detail['loc'][-1]}: missing"
                continue
            if detail["type"] == "extra_forbidden":
                yield f"{'.'.join([path, *inside])}: there is no such key"
                continue
            alternatives, _ = reasons.setdefault(".".join([path, *inside]), ([], detail["input"]))
            alternatives.append(detail["msg"][0].lower() + detail["msg"][1:])
        for where, (alternatives, given) in reasons.items():
            yield f"{where}: {', or '.join(alternatives)}, but it is {given!r}"


def type_adapter(hint: Any) -> Any:
    """What validates values of a type; none of another library's that has no schema."""
    try:
        hash(hint)
    except TypeError:  # annotated with what may change
        return make_adapter(hint)
    return kept_adapter(hint)


def make_adapter(hint: Any) -> Any:
    """As ``type_adapter``, anew."""
    try:
        return TypeAdapter(hint, config=STRICT)
    except PydanticUserError:  # classes bring their own strictness
        try:
            return TypeAdapter(hint)
        except PydanticUserError:
            return None


kept_adapter = cache(make_adapter)
"""Most of what a run costs before it begins were adapters made again."""


def as_meant(node: Any) -> Any:
    """A node whose values are of the types that its target takes, where the meaning is plain.

    What cannot be imported is left: whoever builds it says so.
    """
    if isinstance(node, Mapping) and "_target_" in node:
        try:
            known = read_signature(resolve_name(str(node["_target_"])))[0]
        except Exception:  # whatever a plugin's import may raise
            known = {}
        return {
            key: as_meant(value) if has_targets(value) else meant_value(value, known.get(key, Any))
            for key, value in node.items()
        }
    if isinstance(node, Mapping):
        return {key: as_meant(value) for key, value in node.items()}
    return [as_meant(value) for value in node] if isinstance(node, list) else node


def meant_value(value: Any, hint: Any) -> Any:
    """A value of a type, if what was given can only mean one: else as it was given.

    A name is a list of one, a number is a name, and one value for keys that are known
    (``core.types.ForAll``) is that of each.
    """
    if hint is Any or value is None or value == "???":
        return value
    adapter = type_adapter(hint)
    if adapter is None or is_valid(value, adapter):
        return value
    candidates: list[Any] = [[value]] if not isinstance(value, Mapping | list) else []
    if isinstance(value, list):
        candidates.append([as_name(item) for item in value])
    elif is_number(value):
        candidates += [as_name(value), [as_name(value)]]
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, ForAll):
            candidates.append(dict.fromkeys(mark.keys, value))
    return next((meant for meant in candidates if is_valid(meant, adapter)), value)


def is_valid(value: Any, adapter: Any) -> bool:
    """Whether a value is of a type and in its range."""
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether a value is a number, which truth is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_name(value: Any) -> Any:
    """A number as the name that was typed; anything else as it is."""
    return str(value) if is_number(value) else value


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
