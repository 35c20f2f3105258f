"""Commands that Hydra runs: help, composition, sweeps and launchers are its own."""

import os
import sys
from collections.abc import Callable
from functools import partial, update_wrapper
from importlib import import_module
from typing import Any

from da_framework.cli import sweeps
from da_framework.cli.exit import exit_on_user_error
from da_framework.cli.secrets import refuse_secret_words
from da_framework.config import plugins, run_names
from da_framework.core.errors import InputError

MULTIRUN = ("-m", "--multirun")


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

    refuse_secret_words(rest)
    run_names.register_resolvers()
    plugins.register_search_path()
    for word in rest:
        if word in plugins.NEEDS:
            plugins.require_package(word, *plugins.NEEDS[word])
    # options first: Hydra takes none between overrides
    rest = with_sweep_folder(sorted(rest, key=lambda word: word not in MULTIRUN))
    config_name = name.replace(" ", "_")
    config_dir = str(plugins.conf_dir())
    # errors come out of Hydra as they are, and are said here
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [f"da {name}", *rest]
    compose = hydra.main(version_base="1.3", config_path=config_dir, config_name=config_name)
    try:
        with sweeps.monitor_sweep():
            compose(make_task(module, keys))()
    except (ConfigCompositionException, HydraException, ValueError) as error:
        # a group set to nothing is a plain ValueError of Hydra's
        if str(error).startswith("Only one of"):
            raise InputError(f"{error}; without -m, --cfg shows one job") from None
        if isinstance(error, ValueError) and "Config group override" not in str(error):
            raise
        from da_framework.cli.override_errors import explain_overrides

        raise InputError(explain_overrides(rest, config_dir, config_name, error)) from error


def make_task(module: str, keys: dict[str, Any]) -> Callable[[Any], Any]:
    """What Hydra calls with a config, in this process or, by its name, in that of a job."""
    return update_wrapper(partial(run_task, module=module, keys=keys), run_task)


def run_task(config: Any, *, module: str, keys: dict[str, Any]) -> Any:
    """Hands a config to the command of a module."""
    with exit_on_user_error():
        return import_module(f"da_framework.cli.{module}").main(config, **keys)


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
