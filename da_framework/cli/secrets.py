"""Keys and tokens stay out of what is written: what holds one is refused before it is."""

import os
import re
from collections.abc import Mapping, Sequence

from da_framework.core.errors import InputError

SECRET = re.compile(r"(?:^|[^a-z])(?:api_?key|credentials?|password|passwd|secret|token)$", re.I)
"""Names of what nobody else may know."""

INSTEAD = (
    "it would be written into the run's records: leave it to the environment, or to wandb login"
)


def refuse_secret_words(overrides: Sequence[str]) -> None:
    """Refuses overrides that name a secret, or hold one of the environment's.

    Raises:
        InputError: without the secret.
    """
    for word in overrides:
        # a sweep puts in the place of ${oc.env:NAME} what it stands for
        for key in re.findall(r"(?<=oc\.env:)\w+|[\w.]+(?=\s*[=:])", word):
            if SECRET.search(key):
                raise InputError(f"{key} is a secret: {INSTEAD}")
    refuse_secret_values({"the command": overrides})


def refuse_secret_values(config: Mapping[str, object]) -> None:
    """Refuses a config into which a secret of the environment was put.

    Raises:
        InputError: without the secret.
    """
    # what is short is no secret, and may stand in any text
    secrets = {name: v for name, v in os.environ.items() if SECRET.search(name) and len(v) >= 8}
    for key, value in config.items():
        for name, secret in secrets.items():
            if secret in str(value):
                raise InputError(f"{key} holds the value of {name}: {INSTEAD}")
