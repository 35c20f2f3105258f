"""A backbone that is a module given in Python."""

from torch import nn

from da_framework.core.errors import InputError


def given_backbone(shape: tuple[int, ...], *, name: str | None) -> nn.Module:
    """Stands in a config for a module that was given in Python, and is not there without it.

    Args:
        shape: of one input.
        name: of the module's class.

    Raises:
        InputError: always: a config cannot bring the module.
    """
    what = (
        f"the backbone is a module that was given in Python ({name})" if name else "network=module"
    )
    raise InputError(
        f"{what}: da_framework.fit(network=module) trains with one, and "
        "da_framework.load(folder, network=module) brings a run with one back"
    )
