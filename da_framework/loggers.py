"""Where figures go besides the run's own folder."""

import logging
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from da_framework.seeds import mix

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
    os.environ.setdefault("WANDB_SILENT", "true")
    from pytorch_lightning.loggers import WandbLogger

    offline = os.environ.get("WANDB_MODE") not in ("online", "disabled") and bool(reason := why_offline())
    if offline:
        log.info("W&B is offline (%s); send it later: wandb sync %s/wandb/offline-run-*", reason, folder)
    return WandbLogger(
        project=project,
        name=Path(folder).name,
        id=f"{mix(str(Path(folder).absolute())):016x}",
        resume="allow",
        group=group,
        job_type=job_type,
        tags=tags,
        save_dir=folder,
        offline=offline,
        log_model=False,
    )


def why_offline() -> str:
    """Why W&B cannot be reached; empty if it can."""
    import wandb as client

    if os.environ.get("WANDB_MODE") == "offline":
        return "WANDB_MODE=offline"
    settings = client.Settings()
    try:
        key = client.api.api_key
    except Exception:  # a damaged netrc must not stop training
        key = None
    if not key:
        return "no API key: wandb login"
    url = urlparse(str(settings.base_url))
    try:
        socket.create_connection((url.hostname or "", url.port or 443), timeout=2).close()
    except OSError as error:
        return f"{url.hostname} does not answer: {error}"
    return ""


def tensorboard(*, folder: str) -> Any:
    """A TensorBoard logger that writes into the run's folder."""
    from pytorch_lightning.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="", version="tensorboard")
