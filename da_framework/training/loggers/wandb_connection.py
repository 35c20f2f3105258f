"""Whether the W&B server can be reached, asked without its client, which may ask back or wait."""

import base64
import json
import netrc
import os
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

VIEWER = json.dumps({"query": "query Viewer { viewer { id } }"}).encode()


def server_address() -> str:
    """Of the server: ``WANDB_BASE_URL``, or what the client was set up with."""
    import wandb as client

    known = client.setup(client.Settings(silent=True)).settings.base_url
    return (os.environ.get("WANDB_BASE_URL") or str(known)).rstrip("/")


def why_offline(*, patience: float = 5.0) -> str:
    """Why W&B cannot be reached; empty if it can.

    Args:
        patience: seconds that the server has to answer.
    """
    server = server_address()
    host = urlparse(server).netloc.rpartition("@")[2]  # without a user's name and password
    key = os.environ.get("WANDB_API_KEY") or netrc_key(host)
    if not key:
        return "no API key: run wandb login"
    word = base64.b64encode(f"api:{key}".encode()).decode()
    headers = {"Authorization": f"Basic {word}", "Content-Type": "application/json"}
    try:
        with urlopen(Request(f"{server}/graphql", VIEWER, headers), timeout=patience) as answer:
            viewer = json.load(answer)["data"]["viewer"]
    except HTTPError as error:
        refused = error.code in (401, 403)
        return f"{host} refuses the API key" if refused else f"{host} answers {error.code}"
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        return f"{host} does not answer: {getattr(error, 'reason', None) or error}"
    return "" if viewer else f"{host} does not know the API key"


def netrc_key(host: str) -> str | None:
    """The key that ``wandb login`` left in the user's netrc file."""
    file = os.environ.get("NETRC") or str(Path.home() / ".netrc")
    try:
        login = netrc.netrc(file).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return login[2] if login else None
