"""Training from Python: from tensors to a trained model, without a folder or a command."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from numpy import generic
from torch import nn

from da_framework.callbacks.base import Callback
from da_framework.callbacks.progress import ProgressBar
from da_framework.cli.secrets import refuse_secrets
from da_framework.config.plugins import conf_dir
from da_framework.config.schema import check_config, instantiate
from da_framework.config.settings import Settings
from da_framework.core.errors import DivergedError, InputError, listed
from da_framework.core.quoting import hydra_value
from da_framework.datasets.given_samples import GivenSamples, read_domains
from da_framework.datasets.memory import Memory
from da_framework.training.build import (
    Run,
    apart_from_hydra,
    build,
    check_pick,
    compose_with_choices,
)
from da_framework.training.memory import explain_out_of_memory
from da_framework.training.restore import TrainedModel, restore_model
from da_framework.training.train import advise_against_divergence, largest_input
from da_framework.training.trainer import build_trainer

TOP = frozenset(field.name for field in fields(Settings))
"""Keys of ``da train`` that belong to no part."""
OF_A_FOLDER = {
    "again": "fit always trains",
    "callback": "callbacks=[...]",
    "checkpoint_every": "prepare, and a Trainer of your own with ModelCheckpoint",
    "logger": "prepare, and a Trainer of your own with a logger",
}
"""Keys of runs that have a folder, and what there is in memory."""

Sides = tuple[dict[str, GivenSamples], dict[str, GivenSamples]]
"""The domains of the source, and of the target."""


def fit(
    *,
    method: str,
    source: Any = None,
    target: Any = None,
    data: Any = None,
    network: str | nn.Module | None = None,
    steps: int | None = None,
    seed: int | None = None,
    callbacks: pl.Callback | Sequence[pl.Callback] | None = None,
    **keys: Any,
) -> Run:
    """Trains a method on samples that are in memory.

    ::

        run = da_framework.fit(
            method="dann", source=(x, y), target=x_target, network="mlp", steps=500
        )
        run.predict(x_target)

    The same data, keys and seed give the same weights as ``da train dataset=arrays``, bit for bit.

    Args:
        method: its name, as after ``method=``.
        source: labelled samples: a pair of inputs and labels, or a data set or loader of torch
            whose samples are pairs; for several sources, a mapping from their names to these.
            Inputs are an array, a tensor, a frame or a data set of Hugging Face; in the place of
            labels may stand the name of a column. ``None`` for methods that need no source.
        target: samples to work on, as those of the source. They need no labels: where there are
            some, training does not see them.
        data: a LightningDataModule in the place of both, whose ``train_dataloader`` gives loaders
            by role: ``{"source": ..., "target": ...}``.
        network: its name, or a module that makes flat features of inputs, of which a copy is
            trained; ``None``: as ``da train`` has it.
        steps: of training.
        seed: of everything random in training.
        callbacks: of Lightning, or of ours; one, or several.
        keys: every other key of ``da train``, with ``__`` for a dot: ``optimizer__lr=0.01``,
            ``dataset__batch_size=32``, ``validator="entropy"``. One that is neither of these nor
            of ``da train`` itself is the method's: ``weight=0.3``.

    Raises:
        InputError: something given cannot be used.
        DivergedError: a loss or weight is no longer finite.
    """
    given = read_given(source, target, data)
    run = make_run(given, method=method, network=network, steps=steps, seed=seed, **keys)
    config = run.config
    if config["trainer"]["devices"] != 1:
        raise InputError("fit trains in this process: trainer__devices=1, or da train for several")
    own = [callbacks] if isinstance(callbacks, pl.Callback) else callbacks or ()
    watching: list[pl.Callback] = [KeepChosen(run), *own, ProgressBar(config["steps"])]
    trainer = build_trainer(config, callbacks=watching, loggers=[])
    try:
        with explain_out_of_memory(config):
            trainer.fit(run.module, datamodule=run.domains, weights_only=True)
    except DivergedError as error:
        mend = advise_against_divergence(config, largest_input(run))
        raise DivergedError(f"{error}; {mend}") from None
    return run


def prepare(
    *,
    method: str,
    source: Any = None,
    target: Any = None,
    data: Any = None,
    network: str | nn.Module | None = None,
    steps: int | None = None,
    seed: int | None = None,
    **keys: Any,
) -> Run:
    """What ``fit`` trains, not yet trained: for a Trainer of one's own.

    ::

        run = da_framework.prepare(method="dann", source=(x, y), target=x_target, network="mlp")
        pl.Trainer().fit(run.module, run.domains)

    Args:
        method: its name.
        source: labelled samples.
        target: samples to work on.
        data: a LightningDataModule in the place of both.
        network: its name, or a module.
        steps: of training.
        seed: of everything random in training.
        keys: every other key of ``da train``; all as in ``fit``.

    Raises:
        InputError: something given cannot be used.
    """
    if any(key.partition("__")[0] == "trainer" for key in keys):
        raise InputError(
            "trainer: prepare leaves it to you: pl.Trainer(...); fit has one with keys"
        )
    given = read_given(source, target, data)
    return make_run(given, method=method, network=network, steps=steps, seed=seed, **keys)


def load(
    folder: str | Path,
    *,
    pick: Literal["last", "chosen"] = "last",
    network: nn.Module | None = None,
    trust: Sequence[Any] = (),
) -> TrainedModel:
    """The model of a finished run: of ``run.save``, or of ``da train``.

    Args:
        folder: of the run.
        pick: the weights of the last step, or those that the validator has chosen.
        network: a module like the one that ``fit`` was given, where it was given one.
        trust: what the record may name beside what installed configs do, as in ``da predict``.

    Raises:
        InputError: there is no such run, its record names more than it may, or its weights are
            damaged or another network's.
    """
    check_pick(pick)
    return restore_model(str(folder), pick=pick, trust=trust, backbone=network)


def read_given(source: Any, target: Any, data: Any) -> Sides:
    """The domains on either side, of whatever holds them.

    Args:
        source: labelled samples, or a mapping from names to those of each domain.
        target: samples to work on, or a mapping.
        data: a LightningDataModule in the place of both.

    Raises:
        InputError: they cannot be read, or there is no target.
    """
    if data is not None:
        if source is not None or target is not None:
            raise InputError("data: is given in the place of source and target, not beside them")
        source, target = loaders_by_role(data)
    if target is None:
        raise InputError("target: must be given: target=x_target, or a LightningDataModule as data")
    return read_domains(source, target)


def make_run(given: Sides, *, network: Any, **keys: Any) -> Run:
    """A run on samples that are in memory.

    Args:
        given: the domains of the source, and of the target.
        network: its name, or a module; ``None``: as ``da train`` has it.
        keys: of ``da train``, as ``fit`` takes them; of its own arguments, ``None`` stands for what
            ``da train`` has.

    Raises:
        InputError: one of them cannot be used.
    """
    sources, targets = given
    backbone = network if isinstance(network, nn.Module) else None
    parts = {"network": network if backbone is None else "module"}
    parts |= {key: keys.pop(key) for key in ("method", "steps", "seed")}
    config, choices = compose_keys(
        {
            "dataset": "arrays",
            **{key: value for key, value in parts.items() if value is not None},
            "dataset__root": "memory",
            "dataset__source": list(sources),
            "dataset__target": list(targets),
            **loader_batch_sizes(sources, targets),
            **keys,
        }
    )
    if backbone is not None:
        config["network"]["backbone"]["name"] = type(backbone).__qualname__
    config = check_config(config, Settings)
    kind = f"{Memory.__module__}.{Memory.__qualname__}"
    make = instantiate({**config["dataset"], "_target_": kind, "_partial_": True})
    dataset = make({**sources, **targets})
    return replace(build(config, dataset, backbone=backbone), choices=choices)


class KeepChosen(Callback):
    """Keeps the weights of the evaluation that the validator likes best, in memory.

    Args:
        run: that is trained.
    """

    def __init__(self, run: Run) -> None:
        self.chosen = run.chosen

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if module.step and module.picks.get("chosen", {}).get("step") == module.step:
            weights = module.method.state_dict()
            self.chosen.update({name: value.cpu().clone() for name, value in weights.items()})


def compose_keys(keys: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str | None]]:
    """The config of ``da train`` with keys as Python writes them, and the names of its parts.

    Args:
        keys: with ``__`` for a dot; later ones win.

    Raises:
        InputError: with a line for each that cannot be used, or one of them holds a secret.
    """
    from hydra.errors import HydraException

    overrides = as_overrides(keys)
    refuse_secrets(overrides, composes=True)
    try:
        return compose_with_choices(*overrides)
    except HydraException as error:
        from da_framework.cli.override_errors import explain_overrides

        with apart_from_hydra():
            reason = explain_overrides(overrides, str(conf_dir()), "train", error)
        raise InputError(*reason) from None


def as_overrides(keys: Mapping[str, Any]) -> list[str]:
    """Keys as Python writes them, as words of the command line.

    Raises:
        InputError: a value is none that a key can have, or nothing in memory heeds the key.
    """
    words: dict[str, str] = {}
    for key, value in keys.items():
        dotted = key.replace("__", ".")
        if instead := OF_A_FOLDER.get(dotted.partition(".")[0]):
            raise InputError(f"{dotted}: is of runs that have a folder; in Python: {instead}")
        if "." not in dotted and dotted not in TOP:
            dotted = f"method.{dotted}"
        for path, below in flat(dotted, value):
            words[path] = f"{path}={hydra_value(plain_value(path, below))}"
    return list(words.values())


def plain_value(path: str, value: Any) -> Any:
    """A value as a config has it.

    Raises:
        InputError: it is none that a config can have.
    """
    value = value.tolist() if hasattr(value, "detach") else value
    value = fspath(value) if isinstance(value, PathLike) else value
    if value is None or isinstance(value, str | int | float | generic | Iterable):
        return value
    part = ", or a module of torch" if path == "network" else ""
    name = getattr(value, "__qualname__", type(value).__qualname__)
    raise InputError(
        f"{path}: {name} is neither number, text, list nor mapping; parts are given by name{part}"
    )


def flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The dotted keys of a value that holds others."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from flat(f"{path}.{key}", below)
    else:
        yield path, value


def loaders_by_role(data: Any) -> tuple[Any, Any]:
    """The loaders of a LightningDataModule: of the source, and of the target.

    Raises:
        InputError: they are not named.
    """
    data.prepare_data()
    data.setup("fit")
    loaders = data.train_dataloader()
    loaders = getattr(loaders, "iterables", loaders)  # of a CombinedLoader
    if not (isinstance(loaders, Mapping) and {*loaders} in ({"source", "target"}, {"target"})):
        given = listed(loaders) if isinstance(loaders, Mapping) else type(loaders).__name__
        raise InputError(
            f"{type(data).__name__}.train_dataloader gives {given}; needed are loaders by role: "
            '{"source": ..., "target": ...}'
        )
    return loaders.get("source"), loaders["target"]


def loader_batch_sizes(*sides: Mapping[str, GivenSamples]) -> dict[str, int]:
    """The batch sizes of the loaders that samples come from."""
    sizes = {}
    for role, domains in zip(("source", "target"), sides, strict=True):
        of_loaders = {s.batch_size for s in domains.values() if s.batch_size is not None}
        if len(of_loaders) == 1:
            sizes[f"dataset__batch_size__{role}"] = of_loaders.pop()
    return sizes
