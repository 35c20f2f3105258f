"""Says what is wrong with a command line that Hydra could not compose, all of it at once."""

import json
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from da_framework.config.moved import KEYS
from da_framework.config.schema import check_config, to_plain
from da_framework.core.errors import InputError, listed


def explain_overrides(rest: Sequence[str], config_dir: str, name: str, error: Exception) -> str:
    """One line for every override that cannot be used; Hydra's own words if there is none."""
    overrides = [
        word for word in rest if word.startswith("~") or ("=" in word and not word.startswith("-"))
    ]
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir, version_base="1.3"):
        lines: list[str] = []
        choices: list[str] = []
        keyed: list[Override] = []
        for word in overrides:
            if word.startswith("="):
                lines.append(f"{word}: a key is missing before it; write key=value without spaces")
                continue
            try:
                override = OverridesParser.create().parse_override(word)
            except HydraException as wrong:
                lines.append(f"{word}: {str(wrong).splitlines()[0]}{quoting_hint(word)}")
                continue
            key = override.key_or_group
            if options := group_options(key):
                unknown = unknown_options(override, key, options)
                lines += unknown
                choices += [] if unknown else [first_job(override)]
            elif not key.startswith("hydra"):
                keyed.append(override)
        try:
            lines += unknown_keys(keyed, choices, name)
            if name not in (
                "evaluate",
                "rank",
                "data_check",
            ):  # whose keys are few and checked when it runs
                lines += unknown_additions(keyed, choices, name)
        except HydraException as wrong:
            lines.append(str(wrong))
    return "\n".join(lines) or str(error)


def quoting_hint(word: str) -> str:
    """What to type for a value that is text to a person and not to Hydra; nothing if that fails."""
    key, _, value = word.partition("=")
    quoted = f"{key}={json.dumps(value, ensure_ascii=False)}"
    try:
        OverridesParser.create().parse_override(quoted)
    except HydraException:
        return ""
    return f"; as text: {shlex.quote(quoted)}"


def group_options(group: str) -> list[str]:
    """The options of a config group, those in folders below it too; none if it is no group."""
    loader = GlobalHydra.instance().config_loader()
    options = list(loader.get_group_options(group, results_filter=ObjectType.CONFIG))
    for below in loader.get_group_options(group, results_filter=ObjectType.GROUP):
        options += [f"{below}/{own}" for own in group_options(f"{group}/{below}")]
    return options


def unknown_options(override: Override, group: str, options: list[str]) -> list[str]:
    """A line for each chosen name that the group lacks."""
    if override.is_sweep_override():
        chosen: list[Any] = list(override.sweep_string_iterator())
    else:
        value = override.value()
        chosen = value if isinstance(value, list) else [value]
    lines = []
    for name in chosen:
        if str(name) not in options:
            near = get_close_matches(str(name), options, n=len(options), cutoff=0.4)
            # a name that was not typed to its end is nearer than one with other letters
            near.sort(key=lambda option: not option.startswith(str(name)))
            ordered = [*near, *(option for option in options if option not in near)]
            lines.append(f"{group}={name}: there is no such {group}; there are {listed(ordered)}")
    return lines


def first_job(override: Override) -> str:
    """The override of a sweep's first job."""
    if not override.is_sweep_override():
        return str(override.input_line)
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def unknown_keys(overrides: list[Override], choices: list[str], name: str) -> list[str]:
    """A line for each dotted key that the config lacks, given the chosen parts."""
    config: Any = compose(name, overrides=choices)
    known = dotted_keys(config)
    lines = []
    for override in overrides:
        key = override.key_or_group
        if key not in known and not override.is_add() and not override.is_force_add():
            near = get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"see da {name} --help"
            hint = f"it is now {KEYS[key]}" if key in KEYS else hint
            lines.append(f"{key}: there is no such key; {hint}")
    return lines


def unknown_additions(overrides: list[Override], choices: list[str], name: str) -> list[str]:
    """A line for each key added with ``+`` or ``++`` that no constructor takes."""
    added = [first_job(o) for o in overrides if o.is_add() or o.is_force_add()]
    if not added:
        return []
    # imports torch: only for those who add keys
    from da_framework.config.settings import Settings

    config = compose(name, overrides=[*choices, *added])
    # what a job alone can resolve is left out
    parts = [str(key) for key in config if key not in ("logger", "callback")]
    try:
        check_config(to_plain(OmegaConf.masked_copy(config, parts)), Settings)
    except InputError as error:
        return str(error).splitlines()
    return []


def dotted_keys(node: Any, prefix: str = "") -> list[str]:
    """Every dotted key of a config."""
    keys = []
    for key in node:
        keys.append(f"{prefix}{key}")
        child = node._get_node(key)
        if hasattr(child, "_get_node") and hasattr(child, "items") and not child._is_none():
            keys += dotted_keys(child, f"{prefix}{key}.")
    return keys
