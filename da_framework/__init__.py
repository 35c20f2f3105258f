"""Domain adaptation and transfer learning whose numbers can be trusted and repeated.

The public names are here, and each is imported when it is first asked for: ``DANN`` and every
other method, ``fit``, ``prepare``, ``load``, ``Estimator``, ``build``, ``compose`` and the nouns.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "Adaptation": "training.module",
    "Batch": "core.batch",
    "Domains": "datasets.datamodule",
    "Estimator": "estimator",
    "Method": "methods.base",
    "Model": "training.prediction",
    "Network": "networks.network",
    "Objective": "core.batch",
    "Outputs": "core.batch",
    "Run": "training.build",
    "Samples": "core.batch",
    "Task": "core.batch",
    "Term": "core.batch",
    "build": "training.build",
    "compose": "training.build",
    "fit": "notebook",
    "load": "notebook",
    "prepare": "notebook",
    "validator_scorer": "estimator",
}
"""Where each public name is that is no method: those are what ``conf/method/`` builds."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("da_framework")
    module = public_modules().get(name)
    if module is None:
        raise AttributeError(f"module 'da_framework' has no attribute {name!r}")
    return getattr(import_module(f"da_framework.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), "__version__", *public_modules()})


def public_modules() -> dict[str, str]:
    """The module below ``da_framework`` of every public name."""
    from da_framework.config.plugins import conf_dir, read_target

    modules = dict(_MODULES)
    for file in (conf_dir() / "method").glob("*.yaml"):
        module, _, name = (read_target(file.read_text("utf-8")) or "").rpartition(".")
        modules[name] = module.removeprefix("da_framework.")
    return modules
