"""Hugging Face, where models are fetched from: soon told to be out of reach."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlparse

PATIENCE = 2.0
"""Seconds that its server may take to answer."""


@contextmanager
def offline_if_unreachable() -> Iterator[None]:
    """Its cache alone where its server is out of reach: nothing is asked again and again."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not is_reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def is_reachable(address: str) -> bool:
    """Whether a server answers; what lies behind a proxy is taken to."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy")):
        return True
    url = urlparse(address)
    try:
        socket.create_connection((url.hostname or "", url.port or 443), PATIENCE).close()
    except OSError:
        return False
    return True
