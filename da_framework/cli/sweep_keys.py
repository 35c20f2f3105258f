"""Keys of a sweep that only some of its options have: those are given them, the others go without.

``method=tca,jda method.kernel=primal`` sets the kernel of TCA; JDA, which has none, runs as it is,
so that a baseline and a method with its keys fit into one sweep.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from da_framework.cli.override_errors import dotted_keys
from da_framework.core.errors import listed


class PartialKey(NamedTuple):
    """A key that some options of a group have.

    Attributes:
        group: that is swept over.
        options: that have the key.
        others: that do not.
    """

    group: str
    options: tuple[str, ...]
    others: tuple[str, ...]


PartialKeys = Mapping[str, PartialKey]


def fit_sweep(
    words: Sequence[str], config_dir: str, name: str
) -> tuple[list[str], AbstractContextManager[None]]:
    """Finds the keys of a sweep that not all options of a group have, and says so.

    Args:
        words: of the command line.
        config_dir: where configs are.
        name: of the command's config.

    Returns:
        The words, such keys as ones to sweep over, since Hydra gives these to jobs alone; and
        the context in which it gives them to the jobs that have them.
    """
    with initialize_config_dir(config_dir, version_base="1.3"):
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        try:
            overrides = {
                word: parser.parse_override(word)
                for word in words
                if "=" in word and word[0] not in "-~="
            }
            partial = find_partial_keys([*overrides.values()], name)
        except HydraException:  # which is explained when the sweep is composed
            partial = {}
    if not partial:
        return [*words], nullcontext()
    return [fit_word(word, overrides.get(word), partial) for word in words], fit_jobs(partial)


def find_partial_keys(overrides: Sequence[Override], name: str) -> dict[str, PartialKey]:
    """The keys among these that some options of a swept group have and others do not."""
    loader = GlobalHydra.instance().config_loader()
    groups = [o for o in overrides if loader.get_group_options(o.key_or_group, ObjectType.CONFIG)]
    fixed = [str(group.input_line) for group in groups if not group.is_sweep_override()]
    partial = {}
    for group in groups:
        of_group = group.key_or_group
        keys = [
            override.key_or_group
            for override in overrides
            if override.key_or_group.startswith(f"{of_group}.") and not override.is_add()
        ]
        if not (keys and group.is_sweep_override()):
            continue
        known = {
            option: set(dotted_keys(compose(name, overrides=[*fixed, f"{of_group}={option}"])))
            for option in map(str, group.sweep_string_iterator())
        }
        for key in keys:
            options = tuple(option for option, there in known.items() if key in there)
            others = tuple(option for option in known if option not in options)
            if options and others:
                partial[key] = PartialKey(of_group, options, others)
    return partial


def fit_word(word: str, override: Override | None, partial: PartialKeys) -> str:
    """A word as one to sweep over, where it is of a key that not all options have."""
    if override is None or override.key_or_group not in partial:
        return word
    key, _, value = word.partition("=")
    print(f"{word}: not of {listed(partial[key].others)}", file=sys.stderr)
    return word if override.is_sweep_override() else f"{key}=choice({value})"


@contextmanager
def fit_jobs(partial: PartialKeys) -> Iterator[None]:
    """Has Hydra's sweeper give each job the keys that it has, and leave out what is then double.

    Hydra finds a sweeper by its name alone, and has no place for another way to split.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    split = BasicSweeper.split_arguments

    def split_fitted(overrides: list[Override], most: int | None) -> list[list[list[str]]]:
        (jobs,) = split(overrides, None)
        fitted = dict.fromkeys(tuple(fit_job(job, partial)) for job in jobs)
        return [*BasicSweeper.split_overrides_to_chunks([[*job] for job in fitted], most)]

    replaced: Any = BasicSweeper
    replaced.split_arguments = staticmethod(split_fitted)
    try:
        yield
    finally:
        replaced.split_arguments = staticmethod(split)


def fit_job(job: Sequence[str], partial: PartialKeys) -> list[str]:
    """A job's words without the keys that its options do not have."""
    chosen = dict(word.split("=", 1) for word in job)

    def has(key: str) -> bool:
        return key not in partial or chosen[partial[key].group] in partial[key].options

    return [word for word in job if has(word.split("=", 1)[0])]
