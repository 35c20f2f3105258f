"""Where configs are: ours, and those of installed packages."""

import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Any

from da_framework.config.source_code import find_module
from da_framework.core.errors import InputError

GROUP = "da_framework.conf"

SUBMITIT = ("hydra-submitit-launcher", "slurm")
RAY = ("hydra-ray-launcher", "ray")
NEEDS = {
    "hydra/launcher=joblib": ("hydra-joblib-launcher", "joblib"),
    "hydra/launcher=local": SUBMITIT,
    "hydra/launcher=slurm": SUBMITIT,
    "hydra/launcher=submitit_local": SUBMITIT,
    "hydra/launcher=submitit_slurm": SUBMITIT,
    "hydra/launcher=ray": RAY,
    "hydra/launcher=ray_cluster": RAY,
}
"""What must be installed for an override, and the extra of ours that installs it."""


def conf_dir() -> Path:
    """Our configs: in the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise FileNotFoundError("the package has no conf/ in or beside it: install it again")


@cache
def read_points(group: str) -> tuple[Any, ...]:
    """The entry points of a group; kept, since every installed package is read for them.

    Where the package importlib_metadata is in use, they are partly of its own type.
    """
    return tuple(entry_points(group=group))


def plugin_paths() -> dict[str, str]:
    """The packages that bring configs, with their search paths."""
    return {point.name: f"pkg://{point.value}" for point in read_points(GROUP)}


def plugin_folders() -> Iterator[Path]:
    """Where installed packages have their configs, as far as they can be found."""
    for path in plugin_paths().values():
        if folder := find_module(path.removeprefix("pkg://")):
            yield folder


def config_roots() -> Iterator[tuple[str, Path]]:
    """Where configs are, and which package brings them."""
    yield "da_framework", conf_dir()
    for name, path in plugin_paths().items():
        folder = find_module(path.removeprefix("pkg://"))
        if folder is None:
            print(f"plugin {name}: {path} cannot be found; ours are listed", file=sys.stderr)
        else:
            yield name, folder


def read_target(text: str) -> str | None:
    """What a config builds; read without a parser, which would take longer than all the rest."""
    match = re.search(r"^_target_: *[\"']?([\w.]+)", text, flags=re.MULTILINE)
    return match[1] if match else None


def plugin_packages() -> set[str]:
    """The packages whose code configs may name."""
    return {point.value.split(".")[0] for point in read_points(GROUP)}


@cache
def register_search_path() -> None:
    """Lets Hydra find the configs of installed packages; imports none of them."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class InstalledConfigs(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for name, path in plugin_paths().items():
                search_path.append(provider=name, path=path)

    Plugins.instance().register(InstalledConfigs)


def require_package(what: str, package: str, extra: str) -> None:
    """Asks for what one of our extras installs.

    Args:
        what: needs it, as a person typed it.
        package: that must be there.
        extra: of ours that installs it.

    Raises:
        InputError: it is not installed.
    """
    try:
        distribution(package)
    except PackageNotFoundError:
        install = f"pip install 'da_framework[{extra}]'"
        raise InputError(f"{what} needs {package}: {install}") from None
