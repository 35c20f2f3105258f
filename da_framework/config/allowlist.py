"""What a file may name to be run: a record is data, and data may come from anywhere."""

from collections.abc import Iterable

from da_framework.config.plugins import plugin_packages
from da_framework.config.source_code import source_file
from da_framework.core.errors import InputError, listed

TRUSTED = (
    "da_framework.",
    "pytorch_lightning.Trainer",
    "timm.",
    "torch.nn.",
    "torch.optim.",
    "torchvision.models.",
    "transformers.",
)
"""What a record may name, besides installed plugins: makers of models, not just anything."""


def check_targets(targets: Iterable[str]) -> None:
    """Refuses to run what a file names, unless it is ours, a plugin's or a well-known library's."""
    known = (*TRUSTED, *(f"{package}." for package in sorted(plugin_packages())))
    for target in targets:
        # by its own module: not by way of what some module of ours imports
        if not target.startswith(known) or source_file(target.rpartition(".")[0]) is None:
            raise InputError(
                f"the record names {target}, which is neither ours nor an installed plugin's; "
                f"known are {listed(known)}"
            )
