"""``da features``: computes what runs with this network and data will find."""

from typing import Any

from da_framework.config.schema import to_plain
from da_framework.core.errors import InputError
from da_framework.training.build import build


def main(config: Any) -> None:
    """Computes the features of a frozen backbone, and keeps them.

    Raises:
        InputError: nothing is frozen.
    """
    if not build(to_plain(config)).module.method.network.backbone_frozen:
        raise InputError("no backbone is frozen, so nothing can be kept: network.freeze=backbone")
