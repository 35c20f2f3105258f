"""From a config to the objects of a run."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from da_framework import names, plugins
from da_framework.callbacks.base import Callback
from da_framework.config import check, instantiate, plain
from da_framework.datasets.base import Dataset
from da_framework.datasets.domains import Domains
from da_framework.errors import InputError
from da_framework.methods.base import Method
from da_framework.module import Adaptation
from da_framework.ranges import Count, Index
from da_framework.seeds import mix


@dataclass(frozen=True)
class Settings:
    """The keys of ``conf/train.yaml``; the groups are checked against what they build."""

    method: Any
    dataset: Any
    network: Any
    validator: Any
    optimizer: Any
    scheduler: Any
    trainer: Any
    seed: Index
    steps: Count
    evaluate_every: Count
    checkpoint_every: Count
    flush_every: Count
    again: bool
    data_dir: str
    logger: Any = None
    callback: Any = None


def compose(*overrides: str, name: str = "train") -> dict[str, Any]:
    """The config of a command for a notebook: without the loggers and pictures of a folder.

    Args:
        overrides: as on the command line: ``method=...``, ``optimizer.lr=0.1``.
        name: of the command.
    """
    names.register()
    plugins.register()
    with initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"):
        return plain(hydra_compose(name, ["logger=[]", "callback=[]", *overrides]))


@dataclass(frozen=True)
class Run:
    """What a config builds, ready to fit."""

    domains: Domains
    module: Adaptation


def build(config: Mapping[str, Any], dataset: Dataset | None = None) -> Run:
    """Checks the whole config, then builds data, network, method and module.

    The network is built first and from a seed of its own, so that every method starts from the
    same one; what a method owns is drawn after it.

    Args:
        config: resolved.
        dataset: if it was built already.

    Raises:
        InputError: with every wrong key, or what else cannot be used.
    """
    check(config, Settings)
    seed = config["seed"]
    make_method = instantiate(config["method"])
    kind: type[Method] = make_method.func
    domains = Domains(
        dataset or instantiate(config["dataset"]), kind.roles, seed=seed, optional=kind.optional
    )
    with torch.random.fork_rng():
        torch.manual_seed(mix(seed, "network"))
        network = instantiate(config["network"])(domains.task.shape, len(domains.task.classes))
        torch.manual_seed(mix(seed, "method"))
        method: Method = make_method(network, domains.task)
    module = Adaptation(
        method,
        optimizer=instantiate(config["optimizer"]),
        scheduler=instantiate(config["scheduler"]),
        validator=instantiate(config["validator"]),
        seed=seed,
        **{
            name: config[name]
            for name in ("steps", "evaluate_every", "checkpoint_every", "flush_every")
        },
    )
    return Run(domains, module)


def strategy(config: Mapping[str, Any]) -> str:
    """How processes train together: a move that leaves out parts needs its unused weights found."""
    asked: str = config["trainer"]["strategy"]
    kind: type[Method] = instantiate(config["method"]).func
    if config["trainer"]["devices"] == 1 or kind.objectives is Method.objectives:
        return asked
    return f"{'ddp' if asked == 'auto' else asked}_find_unused_parameters_true"


def build_trainer(
    config: Mapping[str, Any], *, callbacks: list[Callback], loggers: list[Any]
) -> Any:
    """Lightning's trainer with everything off that ``Adaptation`` does itself.

    Raises:
        InputError: it cannot have the accelerator, devices or precision asked for.
    """
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    quiet()
    make = instantiate(config["trainer"])
    try:
        trainer = make(
            strategy=strategy(config),
            max_epochs=-1,
            logger=loggers,
            callbacks=list(callbacks),  # Lightning adds its own to what it is given
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    except (MisconfigurationException, ImportError, ValueError, RuntimeError) as error:
        raise InputError(f"trainer: {error}") from error
    if trainer.world_size > 1 and trainer.precision == "16-mixed":
        raise InputError("trainer.precision=16-mixed needs one device; bf16-mixed takes several")
    return trainer


def quiet() -> None:
    """Turns off Lightning's talk of things that ``Adaptation`` does itself."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\.")
