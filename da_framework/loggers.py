"""Where figures go besides the run's own folder."""

import logging
import netrc
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from uuid import uuid4

log = logging.getLogger(__name__)


def wandb(*, project: str, folder: str, group: str | None, job_type: str, tags: list[str]) -> Any:
    """A Weights & Biases logger that never asks and never hangs.

    Online if there is a key and the server answers within two seconds; otherwise offline, which is
    said in one line, with the command that sends it later. ``WANDB_MODE`` overrides.

    Args:
        project: of the run.
        folder: of the run; its files go there.
        group: of the run: its sweep.
        job_type: of the run: its method.
        tags: of the run: its data.
    """
    import wandb as client
    from pytorch_lightning.loggers import WandbLogger

    mode: Any = os.environ.get("WANDB_MODE", "online")
    if mode == "online" and (reason := why_offline()):
        mode = "offline"
        log.info(
            "W&B is offline (%s); send it later: wandb sync %s/wandb/offline-run-*", reason, folder
        )
    run = client.init(
        project=project,
        name=Path(folder).name,
        id=run_id(Path(folder)),
        resume="allow",
        group=group,
        job_type=job_type,
        tags=tags,
        dir=folder,
        mode=mode,
        settings=client.Settings(silent=True, console="off"),
    )
    return WandbLogger(experiment=run, log_model=False)


def run_id(folder: Path) -> str:
    """Kept in the folder, so that a run killed and continued is one run there too."""
    file = folder / "wandb.id"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(uuid4().hex[:16])
    return file.read_text().strip()


def why_offline() -> str:
    """Why W&B cannot be reached; empty if it can."""
    import wandb as client

    # asked of nothing that would remember the answer: the client settles its mode at first use
    address = os.environ.get("WANDB_BASE_URL") or str(client.Settings().base_url)
    url = urlparse(address)
    host = url.hostname or ""
    if not (os.environ.get("WANDB_API_KEY") or netrc_key(host)):
        return "no API key: run wandb login"
    try:
        socket.create_connection(
            (host, url.port or (80 if url.scheme == "http" else 443)), 2
        ).close()
    except OSError as error:
        return f"{host} does not answer: {error}"
    return ""


def netrc_key(host: str) -> str | None:
    """The key that ``wandb login`` left in the user's netrc file."""
    file = os.environ.get("NETRC") or str(Path.home() / ".netrc")
    try:
        found = netrc.netrc(file).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def tensorboard(*, folder: str) -> Any:
    """A TensorBoard logger that writes into the run's folder."""
    from pytorch_lightning.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="", version="tensorboard")


def close(loggers: Iterable[Any]) -> None:
    """Ends their runs, so that the next job in this process begins one of its own."""
    for logger in loggers:
        logger.finalize("success")
        if hasattr(logger.experiment, "finish"):
            logger.experiment.finish()
