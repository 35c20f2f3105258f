"""Commands that Hydra runs: help, composition, sweeps and launchers are its own."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial, update_wrapper
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from da_framework.cli import sweeps
from da_framework.cli.exit import exit_on_user_error, exit_with
from da_framework.cli.secrets import refuse_drawn_secrets
from da_framework.config import plugins, run_names
from da_framework.core.errors import InputError, UntypedError, trust_word
from da_framework.core.quoting import hydra_text
from da_framework.core.terminal import clean_output
from da_framework.training.memory import keep_freed_memory

MULTIRUN = ("-m", "--multirun")
OPTIONS = (
    "cfg",
    "config-dir",
    "config-name",
    "config-path",
    "experimental-rerun",
    "info",
    "package",
)
"""Hydra's own options that take a value."""
MAY_SAY_MODE = re.compile(r"-|[+~]*(hydra(\.mode)?=|experiments)")
"""The beginning of a word by which ``hydra.mode`` may be set."""
HOME = re.compile(r"(^|[,\[])~(?=/|$|[,\]])")
"""The home folder at the beginning of a value, or of one in a list or a sweep."""


class RefuseDrawnSecrets(Callback):
    """Ends a command whose config has drawn in a secret, before there is a folder."""

    def on_run_start(self, config: Any, **rest: Any) -> None:
        try:
            refuse_drawn_secrets(config)
        except InputError as error:  # of which Hydra would make a warning
            exit_with(str(error), code=2)

    on_multirun_start = on_run_start


def run_hydra(name: str, module: str, rest: list[str], **keys: Any) -> None:
    """Composes a config of the arguments and hands it to a command, once or for every job.

    Args:
        name: of the command; ``conf/`` has a config of this name, with underscores.
        module: of this package, whose ``main`` is the command.
        rest: the arguments.
        keys: further ones of ``main``, for who runs a command from within.

    Raises:
        InputError: with a line for everything that cannot be composed.
    """
    import hydra
    from hydra.errors import ConfigCompositionException, HydraException

    rest = [as_override(word) for word in rest]
    run_names.register_resolvers()
    plugins.register_search_path()
    for word in rest:
        if word in plugins.NEEDS:
            plugins.require_package(word, *plugins.NEEDS[word])
    check_words(rest)
    # options first: Hydra takes none between overrides
    rest = with_sweep_folder(sorted(rest, key=lambda word: word not in MULTIRUN))
    config_name = name.replace(" ", "_")
    config_dir = str(plugins.conf_dir())
    # errors come out of Hydra as they are, and are said here
    os.environ["HYDRA_FULL_ERROR"] = "1"
    fitted = rest
    jobs: AbstractContextManager[None] = nullcontext()
    if set(MULTIRUN) & set(rest):
        from da_framework.cli.sweep_keys import fit_sweep

        fitted, jobs = fit_sweep(rest, config_dir, config_name)
    sys.argv = [f"da {name}", *fitted]
    compose = hydra.main(version_base="1.3", config_path=config_dir, config_name=config_name)
    try:
        with explain_references(), sweeps.monitor_sweep(), jobs, composed_once(fitted):
            compose(make_task(module, keys))()
    except (ConfigCompositionException, HydraException, ValueError) as error:
        # a group set to nothing is a plain ValueError of Hydra's
        if str(error).startswith("Only one of"):
            raise InputError(f"{error}; without -m, --cfg shows one job") from None
        if isinstance(error, ValueError) and "Config group override" not in str(error):
            raise
        from da_framework.cli.override_errors import explain_overrides

        raise InputError(*explain_overrides(rest, config_dir, config_name, error)) from error


@contextmanager
def composed_once(words: Sequence[str]) -> Iterator[None]:
    """Hydra does not compose for its mode alone what has none: only options and experiments do."""
    from hydra._internal.hydra import Hydra

    read = getattr(Hydra, "get_mode", None)
    if read is None or any(map(MAY_SAY_MODE.match, words)):
        yield
        return
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = read  # type: ignore[method-assign]


def check_words(words: Sequence[str]) -> None:
    """Refuses words that have a file decide what is run.

    Raises:
        InputError: an experiment names more than it may, or a pickle would be loaded.
    """
    for word in words:
        if word.startswith("--e"):  # which Hydra takes for the whole of it
            raise InputError(f"{word}: --experimental-rerun loads a pickle, which may run anything")
        key, _, names = word.lstrip("+").partition("=")
        if key == "experiments":
            from da_framework.results.experiments import find_experiments, read_experiment

            files = find_experiments()
            for name in files.keys() & set(names.split(",")):
                read_experiment(files[name])


def as_override(word: str) -> str:
    """A word of the command line as Hydra's override, where it can mean nothing else.

    ``--key=value``, as W&B's agent writes it, is ``key=value``, and a leading ``~`` of a value is
    the home folder, which shells see to at the beginning of a word alone.
    """
    key, equals, value = word.partition("=")
    if not equals:
        return word
    if key.startswith("--") and not any(option.startswith(key[2:]) for option in OPTIONS):
        key = key[2:]
    home = str(Path.home())
    if HOME.search(value) and not set("'\"{") & set(value):
        single = not set("[],") & set(value)
        value = hydra_text(home + value[1:]) if single else HOME.sub(rf"\g<1>{home}", value)
    return f"{key}={value}"


def make_task(module: str, keys: dict[str, Any]) -> Callable[[Any], Any]:
    """What Hydra calls with a config, in this process or, by its name, in that of a job."""
    return update_wrapper(partial(run_task, module=module, keys=keys), run_task)


def run_task(config: Any, *, module: str, keys: dict[str, Any]) -> Any:
    """Hands a config to the command of a module."""
    keep_freed_memory()
    with clean_output(), exit_on_user_error(), explain_references(), show_trusting_command(config):
        return import_module(f"da_framework.cli.{module}").main(config, **keys)


@contextmanager
def explain_references() -> Iterator[None]:
    """Says on a line what of a value refers to something that is not there."""
    from omegaconf.errors import OmegaConfBaseException

    from da_framework.config.schema import explain_reference

    try:
        yield
    except OmegaConfBaseException as error:
        raise InputError(explain_reference(error)) from None


@contextmanager
def show_trusting_command(config: Any) -> Iterator[None]:
    """Says, where a file names what somebody must type, the whole command that does."""
    try:
        yield
    except UntypedError as error:
        if not error.names:
            raise
        from hydra.core.hydra_config import HydraConfig

        job = HydraConfig.get()
        typed = [word for word in job.overrides.task if not word.startswith("trust=")]
        trusted = trust_word(dict.fromkeys((*config.trust, *error.names)))
        command = shlex.join(["da", str(job.job.config_name).replace("_", " "), *typed, trusted])
        raise InputError(f"{error.reason}: {command}") from None


def with_sweep_folder(arguments: list[str]) -> list[str]:
    """The words of a sweep with a folder named after it, unless they or an experiment name one."""
    named = ("hydra.sweep.dir=", "experiments=", "+experiments=")
    if not set(MULTIRUN) & set(arguments) or any(word.startswith(named) for word in arguments):
        return arguments
    relevant = run_names.relevant_overrides([word for word in arguments if "=" in word])
    shown = [run_names.short_override(word) for word in relevant]
    name = run_names.slug(shown, hashed=relevant)
    places = (number for number, word in enumerate(arguments) if "=" in word or word in MULTIRUN)
    place = max(places) + 1  # among the overrides: behind options, they are no longer read
    # quoted: it holds equals signs
    return [*arguments[:place], f"hydra.sweep.dir='multirun/{name}'", *arguments[place:]]
