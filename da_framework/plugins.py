"""Where configs are: ours, and those of installed packages."""

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

GROUP = "da_framework.conf"


def conf_dir() -> Path:
    """Our configs: in the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise FileNotFoundError("the package has no conf/ in or beside it: install it again")


def sources() -> dict[str, str]:
    """The packages that bring configs, with their search paths."""
    return {point.name: f"pkg://{point.value}" for point in entry_points(group=GROUP)}


def packages() -> set[str]:
    """The packages whose code configs may name."""
    return {point.value.split(".")[0] for point in entry_points(group=GROUP)}


@cache
def register() -> None:
    """Lets Hydra find the configs of installed packages; imports none of them."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class InstalledConfigs(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for name, path in sources().items():
                search_path.append(provider=name, path=path)

    Plugins.instance().register(InstalledConfigs)
