"""TensorBoard, in the run's own folder."""

from pytorch_lightning.loggers import TensorBoardLogger

from da_framework.core.errors import InputError


def tensorboard(*, folder: str) -> TensorBoardLogger:
    """A TensorBoard logger that writes into the run's folder."""
    try:
        return TensorBoardLogger(folder, name="", version="tensorboard")
    except ModuleNotFoundError:
        raise InputError(
            "logger=tensorboard needs a package: pip install 'da_framework[tensorboard]'"
        ) from None
