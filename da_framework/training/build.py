"""From a config to the objects of a run."""

import logging
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from da_framework.callbacks.base import Callback
from da_framework.config import plugins
from da_framework.config import run_names as names
from da_framework.config.schema import check_config, instantiate, to_plain
from da_framework.core.errors import InputError, MissingRoleError, listed
from da_framework.core.seeding import mix
from da_framework.core.types import ConfigNode, Count, Index, Share
from da_framework.datasets.base import Dataset
from da_framework.datasets.datamodule import Domains
from da_framework.methods.base import Method
from da_framework.training.feature_cache import with_cached_features
from da_framework.training.module import Adaptation
from da_framework.training.warm_start import (
    Function,
    Head,
    load_initial_weights,
    load_teachers,
    without_pretrained,
)

INIT_DEFAULTS = {"init_head": "loaded", "init_share": 1.0, "init_function": "identity"}
"""Keys that say how to begin with a former run, and what changes nothing."""

TF32 = Literal["none", "convolutions", "all"]
"""Which products of a GPU read 32-bit numbers with 10 bits after the point."""


@dataclass(frozen=True)
class Settings:
    """The keys of ``conf/train.yaml``; the groups are checked against what they build."""

    method: ConfigNode
    dataset: ConfigNode
    network: ConfigNode
    validator: Any
    optimizer: ConfigNode
    scheduler: Any
    trainer: Any
    seed: Index
    steps: Count
    evaluate_every: Count
    checkpoint_every: Count
    flush_every: Count
    again: bool
    data_dir: str
    init_from: str | None = None
    init_head: Head = "loaded"
    init_share: Share = 1.0
    init_function: Function = "identity"
    teachers: list[str] = field(default_factory=list)
    inner_steps: Count | None = None
    compile: bool = False
    channels_last: bool = False
    tf32: TF32 = "convolutions"
    feature_cache: str | None = None
    term: Any = None
    logger: Any = None
    callback: Any = None
    paper: Any = None


def compose(*overrides: str, name: str = "train") -> dict[str, Any]:
    """The config of a command for a notebook: without the loggers and pictures of a folder.

    Args:
        overrides: as on the command line: ``method=...``, ``optimizer.lr=0.1``.
        name: of the command.
    """
    names.register_resolvers()
    plugins.register_search_path()
    with initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"):
        return to_plain(hydra_compose(name, ["logger=[]", "callback=[]", *overrides]))


@dataclass(frozen=True)
class Run:
    """What a config builds, ready to fit."""

    domains: Domains
    module: Adaptation

    def inputs(self, dataset: Dataset) -> dict[str, Any]:
        """What the target's rows are, so that others can be read without the data.

        Args:
            dataset: of the inputs themselves, where features have taken their place.
        """
        own = dataset.inputs(dataset.domains[-1])
        shape = self.module.method.network.encoder.shape
        return {**own, "widest": list(shape), "widths": list(self.domains.task.widths)}


def build(
    config: Mapping[str, Any], dataset: Dataset | None = None, *, initialise: bool = True
) -> Run:
    """Checks the whole config, then builds data, network, method and module.

    The network is built first and from a seed of its own, so that every method starts from the
    same one; what a method owns is drawn after it.

    Args:
        config: resolved.
        dataset: if it was built already.
        initialise: whether to begin with what ``init_from`` names; not if weights are loaded later.

    Raises:
        InputError: with every wrong key, or what else cannot be used.
    """
    check_config(config, Settings)
    seed = config["seed"]
    make_method = instantiate(config["method"])
    kind: type[Method] = make_method.func
    start = config.get("init_from")
    if initialise and kind.needs_init_from and start is None:
        raise InputError(
            f"{kind.__name__} goes on from a trained network: train one on the source first, then "
            "give its folder: init_from=runs/..."
        )
    changed = [key for key, value in INIT_DEFAULTS.items() if config.get(key, value) != value]
    if changed and start is None:
        raise InputError(f"{listed(changed)}: init_from names no run to begin with")
    if kind.needs_teachers and not config.get("teachers") and initialise:
        raise InputError(
            f"{kind.__name__} learns from former runs: teachers=[runs/a,runs/b] names their folders"
        )
    if config.get("teachers") and not kind.needs_teachers:
        raise InputError(f"teachers: {kind.__name__} learns from none")
    if config.get("term") and kind.closed_form:
        raise InputError(f"term={listed(config['term'])}: {kind.__name__} has no loss to add to")
    dataset = dataset or instantiate(config["dataset"])
    extra = {name: instantiate(node) for name, node in (config.get("term") or {}).items()}
    try:
        domains = Domains(dataset, kind.roles, seed=seed, optional=kind.optional)
    except MissingRoleError as error:
        raise InputError(f"{error}; {methods_without_role(error.role)}") from None
    for name, own in extra.items():
        if missing := [role for role in own.roles if role not in domains.train]:
            raise InputError(
                f"term={name} reads the role {listed(missing)}, which {kind.__name__} is not given"
            )
    task = domains.task
    # a finished run is evaluated without its teachers, if they are gone
    if runs := [run for run in config.get("teachers", ()) if initialise or Path(run).is_dir()]:
        task = replace(task, teachers=load_teachers(runs, task.shape, task.widths))
    with torch.random.fork_rng():
        torch.manual_seed(mix(seed, "network"))
        classes = domains.task.classes
        network = instantiate(
            config["network"] if initialise else without_pretrained(config["network"])
        )(domains.task.shape, kind.head_classes(len(classes)), domains.task.widths)
        if initialise and start is None and kind.closed_form and domains.task.widths:
            raise InputError(
                f"{kind.__name__} compares rows column by column, but {domains.task.columns}: "
                "init_from=runs/... takes the features of a network trained on them"
            )
        if initialise and start is None and kind.closed_form and [*network.encoder.parameters()]:
            raise InputError(
                f"{kind.__name__} is fitted to features, and this network's are of no training: "
                "network=identity takes the inputs themselves, init_from=runs/... a trained network"
            )
        if initialise and start is not None:
            load_initial_weights(
                *(network, start, classes),
                head=config["init_head"],
                share=config["init_share"],
                function=config["init_function"],
            )
        check_same_tokenizer(dataset.tokens, network.encoder.backbone, kind)
        if config.get("channels_last"):
            to_channels_last(network)
        read = kind.needs_raw_inputs or domains.views or dataset.weak or task.widths
        # features as wide as the inputs could not be told from them
        read = read or network.encoder.shape == (network.encoder.width,)
        if initialise and network.backbone_frozen and not read:
            folder = config.get("feature_cache")
            accelerated = config["trainer"]["accelerator"] != "cpu" and torch.cuda.is_available()
            device = "cuda" if accelerated else "cpu"
            dataset = with_cached_features(
                dataset, network, Path(folder) if folder else None, device
            )
            domains = Domains(dataset, kind.roles, seed=seed, optional=kind.optional)
            task = replace(domains.task, teachers=task.teachers)
        torch.manual_seed(mix(seed, "method"))
        method: Method = make_method(network, task)
    method.extra = extra
    if config.get("compile") and initialise:
        compile_network(method, recompute=config["network"].get("recompute", False))
    module = Adaptation(
        method,
        optimizer=instantiate(config["optimizer"]),
        scheduler=instantiate(config["scheduler"]),
        validator=instantiate(config["validator"]),
        seed=seed,
        inner_steps=config.get("inner_steps"),
        **{
            name: config[name]
            for name in ("steps", "evaluate_every", "checkpoint_every", "flush_every")
        },
    )
    return Run(domains, module)


def check_same_tokenizer(given: str | None, backbone: Any, kind: type[Method]) -> None:
    """Refuses numbers of words that the network would take for others."""
    read = getattr(backbone, "tokens", None)
    if given != read:
        raise InputError(
            f"the inputs are numbers of {given or 'no words'}, but the network reads those of "
            f"{read or 'none'}: texts need network=text, and it needs texts, with the "
            "dataset.tokenizer and dataset.vocabulary that network.tokenizer and "
            "network.vocabulary name"
        )
    if given is not None and kind.perturbs_inputs:
        raise InputError(f"{kind.__name__} moves its inputs a little, which words cannot be")


def to_channels_last(network: torch.nn.Module) -> None:
    """Lays out convolutions' weights with the channels last, as their outputs then are too."""
    if not any(weight.dim() == 4 for weight in network.parameters()):
        raise InputError("channels_last=true: the network has no convolution of images")
    network.to(memory_format=torch.channels_last)


def compile_network(method: Method, *, recompute: bool) -> None:
    """Has the network compiled when it is first used."""
    if recompute:
        raise InputError("compile=true and network.recompute=true: one of the two")
    if method.closed_form:
        raise InputError(f"compile=true: {type(method).__name__} trains no network")
    compiler = os.environ.get("CXX", "g++")
    if not shutil.which(compiler):
        raise InputError(
            f"compile=true needs a C++ compiler, but there is no {compiler}: install it, or name "
            "another in the environment variable CXX"
        )
    method.network.compile()


def methods_without_role(role: str) -> str:
    """The methods that do not need a role, in words."""
    able = []
    for file in sorted((plugins.conf_dir() / "method").glob("*.yaml")):
        kind: type[Method] = resolve_name(OmegaConf.select(OmegaConf.load(file), "_target_"))
        if role not in kind.roles:
            able.append(file.stem)
    return f"methods that do without: {listed(able)}"


def choose_strategy(config: Mapping[str, Any]) -> str:
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

    How precisely a GPU multiplies holds for the whole process: it is set for every trainer.

    Raises:
        InputError: it cannot have the accelerator, devices or precision asked for.
    """
    from lightning_fabric.utilities.exceptions import MisconfigurationException
    from pytorch_lightning.accelerators import CUDAAccelerator

    silence_lightning()
    make = instantiate(config["trainer"])
    try:
        trainer = make(
            strategy=choose_strategy(config),
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
    if not isinstance(trainer.accelerator, CUDAAccelerator):
        # Lightning would take another instead, without a word
        if (precision := str(config["trainer"]["precision"])).startswith("16"):
            raise InputError(f"trainer.precision={precision} needs a GPU; bf16-mixed does without")
        if config.get("tf32") == "all":
            raise InputError("tf32=all needs a GPU; tf32=convolutions and tf32=none do without")
    torch.set_float32_matmul_precision("high" if config.get("tf32") == "all" else "highest")
    torch.backends.cudnn.allow_tf32 = config.get("tf32") != "none"
    if trainer.world_size > 1 and trainer.precision == "16-mixed":
        raise InputError("trainer.precision=16-mixed needs one device; bf16-mixed takes several")
    return trainer


def silence_lightning() -> None:
    """Turns off Lightning's talk of things that ``Adaptation`` does itself."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\.")
