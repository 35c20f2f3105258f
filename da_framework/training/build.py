"""From a config to the objects of a run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from torch import Tensor, nn

from da_framework.config import plugins, run_names
from da_framework.config.schema import check_config, instantiate, to_plain
from da_framework.config.settings import Settings
from da_framework.core.errors import InputError, MissingRoleError, listed
from da_framework.core.quoting import override
from da_framework.core.seeding import mix
from da_framework.datasets.base import Dataset
from da_framework.datasets.datamodule import Domains
from da_framework.methods.base import Method
from da_framework.networks.network import Network
from da_framework.networks.series import heed_ends
from da_framework.training.feature_cache import with_cached_features
from da_framework.training.module import Adaptation
from da_framework.training.prediction import Model
from da_framework.training.requirements import (
    Plan,
    check_config_requirements,
    check_data_requirements,
    check_network_requirements,
)
from da_framework.training.warm_start import (
    load_initial_weights,
    load_teachers,
    samples_begun_with,
    without_pretrained,
)


def compose(*overrides: str, name: str = "train") -> dict[str, Any]:
    """The config of a command for a notebook: without the loggers and pictures of a folder.

    Args:
        overrides: as on the command line: ``method=...``, ``optimizer.lr=0.1``.
        name: of the command.
    """
    return compose_with_choices(*overrides, name=name)[0]


def compose_with_choices(
    *overrides: str, name: str = "train"
) -> tuple[dict[str, Any], dict[str, str | None]]:
    """The config of ``compose``, and the names by which its parts were chosen."""
    run_names.register_resolvers()
    plugins.register_search_path()
    words = ["logger=[]", "callback=[]", *overrides]
    with apart_from_hydra(), initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"):
        composed = hydra_compose(name, words, return_hydra_config=True)
        choices = dict(composed.hydra.runtime.choices)
        parts = [str(key) for key in composed if key != "hydra"]
        return to_plain(OmegaConf.masked_copy(composed, parts)), choices


@contextmanager
def apart_from_hydra() -> Iterator[None]:
    """Lets configs be composed within a program that is itself run by Hydra."""
    former = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = former


@dataclass(frozen=True)
class Run:
    """What a config builds, ready to fit; and what it has learnt, once it is fitted.

    Attributes:
        domains: the data by role.
        module: what is trained.
        config: that it was built from.
        dataset: of the inputs themselves, where features have taken their place in ``domains``.
        choices: the names by which the parts were chosen, as far as they are known.
        chosen: the weights that the validator has chosen, where they were kept.
    """

    domains: Domains
    module: Adaptation
    config: Mapping[str, Any]
    dataset: Dataset
    choices: Mapping[str, str | None] = field(default_factory=dict)
    chosen: dict[str, Tensor] = field(default_factory=dict)

    def inputs(self) -> dict[str, Any]:
        """What the target's samples are, so that others can be read without the data."""
        shape = self.module.method.network.encoder.shape
        return {
            **self.dataset.inputs(self.dataset.domains[-1]),
            "widest": list(shape),
            "widths": list(self.domains.task.widths),
        }

    def model(self, pick: Literal["last", "chosen"] = "last") -> Model:
        """What was learnt, apart from the data.

        Args:
            pick: the weights of the last step, or those that the validator has chosen.

        Raises:
            InputError: nothing is trained yet, or no weights were chosen.
        """
        module = self.module
        if not module.step:
            raise InputError("nothing is trained yet: da_framework.fit, or a Trainer's fit")
        method = module.method
        check_pick(pick)
        if pick == "chosen":
            if not self.chosen:
                raise InputError("pick=chosen: no weights were chosen, or kept: pick=last")
            method = deepcopy(method)
            method.load_state_dict(self.chosen)
        unknown = ["unknown"] if method.setting == "open" else []
        classes = (*self.dataset.known, *unknown)
        return Model(method=method, inputs=self.inputs(), classes=classes)

    def predict(self, x: Any, *, pick: Literal["last", "chosen"] = "last") -> Any:
        """The label of each sample; see ``Model.predict``."""
        return self.model(pick).predict(x)

    def predict_proba(self, x: Any, *, pick: Literal["last", "chosen"] = "last") -> Any:
        """The probability of each class; see ``Model.predict_proba``."""
        return self.model(pick).predict_proba(x)

    def evaluate(
        self, x: Any, y: Any = None, *, pick: Literal["last", "chosen"] = "last"
    ) -> dict[str, Any]:
        """How well labels are met; see ``Model.evaluate``."""
        return self.model(pick).evaluate(x, y)

    def save(self, folder: str | Path) -> None:
        """Writes record and weights as ``da train`` does, for ``load``, ``da predict`` and others.

        What another run has left in the folder is moved aside.

        Raises:
            InputError: nothing is trained yet, or another process writes to the folder.
        """
        from da_framework.training.save import save_run

        save_run(self, Path(folder))


def check_pick(pick: str) -> None:
    """Refuses other weights than there are, in a program whose types nobody checks.

    Raises:
        InputError: there are none of this name.
    """
    if pick not in ("last", "chosen"):
        raise InputError(f"pick={pick}: it is last or chosen")


def build(
    config: Mapping[str, Any],
    dataset: Dataset | None = None,
    *,
    initialise: bool = True,
    backbone: nn.Module | None = None,
    former: Mapping[str, Any] | None = None,
) -> Run:
    """Checks the whole config, then builds data, network, method and module.

    The network is built first and from a seed of its own, so that every method starts from the
    same one; what a method owns is drawn after it.

    Args:
        config: resolved.
        dataset: if it was built already.
        initialise: whether to begin with what ``init_from`` names; not if weights are loaded later.
        backbone: a module to take a copy of in the place of the network's own (``network=module``).
        former: what a former run knew of its samples, where there is no source; ``None``: what the
            run knew that the config begins with or learns from.

    Raises:
        InputError: with every wrong key, or what else cannot be used.
    """
    config = check_config(config, Settings)
    make_method = instantiate(config["method"])
    kind = getattr(make_method, "func", None)  # none where it is no partial
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise InputError(
            f"method: {config['method']['_target_']} is no method; it derives from Method, and its "
            "config has _partial_: true"
        )
    extra_terms = {name: instantiate(node) for name, node in (config.get("term") or {}).items()}
    plan = Plan(config, kind, initialise, extra_terms)
    check_config_requirements(plan)
    dataset = dataset or instantiate(config["dataset"])
    dataset.continue_from(samples_begun_with(config) if former is None else former)
    refuse_other_classes(plan, dataset)
    domains = build_data(plan, dataset)
    task = replace(domains.task, teachers=build_teachers(plan, domains))
    with torch.random.fork_rng():
        network = build_network(plan, domains, backbone)
        if features := cache_features(plan, domains, network):
            domains, task = features, replace(features.task, teachers=task.teachers)
        torch.manual_seed(mix(config["seed"], "method"))
        method: Method = make_method(network, task)
    method.extra = extra_terms
    if config.get("compile") and initialise:
        method.network.compile()  # when it is first used
    return Run(domains, build_module(config, method), config, dataset)


def refuse_other_classes(plan: Plan, dataset: Dataset) -> None:
    """Raises where a target alone has classes that the run begun with has not learnt.

    Raises:
        InputError: and nobody has said which of them are to be learnt.
    """
    given = plan.config["dataset"].get("source_classes")
    begun = plan.initialise and plan.config.get("init_from") is not None
    if begun and not dataset.source and not given and dataset.unknown:
        raise InputError(
            f"init_from={plan.config['init_from']}: the run learnt the classes "
            f"{listed(dataset.known)}, the target also has {listed(dataset.unknown)}; "
            "init_head=fresh begins with a head of its own, "
            f"{override('dataset.source_classes', dataset.known)} takes these for unknown"
        )


def build_data(plan: Plan, dataset: Dataset) -> Domains:
    """The roles that a method needs, of a data set.

    Raises:
        InputError: a role is not there, or the data does not suit the method.
    """
    try:
        domains = assign_roles(plan, dataset)
    except MissingRoleError as error:
        able = listed(methods_without_role(error.role), most=20)
        raise InputError(f"{error}; methods that do without: {able}") from None
    check_data_requirements(plan, domains)
    return domains


def assign_roles(plan: Plan, dataset: Dataset) -> Domains:
    """A data set's samples by role, in the order that the seed decides."""
    method = plan.method
    return Domains(dataset, method.roles, seed=plan.config["seed"], optional=method.optional)


def build_teachers(plan: Plan, domains: Domains) -> tuple[Any, ...]:
    """The frozen networks that a method learns from; of a finished run, those still there."""
    runs = plan.config.get("teachers") or ()
    # a finished run is evaluated without its teachers, if they are gone
    there = [run for run in runs if plan.initialise or Path(run).is_dir()]
    trust, task = plan.config.get("trust") or (), domains.task
    teachers = load_teachers(there, task.shape, task.widths, trust=trust) if there else ()
    for teacher in teachers if domains.dataset.padded else ():
        heed_ends(teacher)
    return teachers


def network_maker(
    node: Mapping[str, Any], backbone: nn.Module | None = None
) -> Callable[..., Network]:
    """What makes the network of a config for a shape, classes and widths.

    Args:
        node: of the network.
        backbone: a module to take a copy of in the place of the network's own.
    """
    make: Callable[..., Network] = instantiate(node)
    if backbone is None:
        return make
    given: nn.Module = backbone
    return partial(make, backbone=lambda shape: deepcopy(given))


def build_network(plan: Plan, domains: Domains, backbone: nn.Module | None = None) -> Network:
    """The network, drawn from a seed of its own and with the weights that it begins with.

    Args:
        plan: what is built.
        domains: its data.
        backbone: a module in the place of the network's own.

    Raises:
        InputError: it suits neither the data nor the method, or there are no such weights.
    """
    config, task = plan.config, domains.task
    torch.manual_seed(mix(config["seed"], "network"))
    node = config["network"] if plan.initialise else without_pretrained(config["network"])
    classes = plan.method.head_classes(len(task.classes))
    network = network_maker(node, backbone)(task.shape, classes, task.widths)
    check_network_requirements(plan, domains, network)
    if domains.dataset.padded:
        heed_ends(network)
    if plan.initialise and config.get("init_from") is not None:
        load_initial_weights(
            *(network, config["init_from"], task.classes),
            head=config["init_head"],
            share=config["init_share"],
            function=config["init_function"],
        )
    if config.get("channels_last"):
        # the weights of convolutions, whose outputs then are too
        network.to(memory_format=torch.channels_last)
    return network


def cache_features(plan: Plan, domains: Domains, network: Network) -> Domains | None:
    """The features of a frozen backbone in the place of inputs, where nothing needs these.

    Returns:
        None where the inputs stay.
    """
    dataset, encoder = domains.dataset, network.encoder
    views = domains.views or dataset.weak or domains.task.widths
    # features as wide as the inputs could not be told from them
    indistinct = encoder.shape == (encoder.width,)
    if plan.method.needs_raw_inputs or views or indistinct:
        return None
    if not (plan.initialise and network.backbone_frozen):
        return None
    folder = plan.config.get("feature_cache")
    accelerated = plan.config["trainer"]["accelerator"] != "cpu" and torch.cuda.is_available()
    device = "cuda" if accelerated else "cpu"
    features = with_cached_features(dataset, network, Path(folder) if folder else None, device)
    return assign_roles(plan, features)


def build_module(config: Mapping[str, Any], method: Method) -> Adaptation:
    """What trains a method as a config says."""
    names = ("seed", "steps", "evaluate_every", "checkpoint_every", "flush_every")
    return Adaptation(
        method,
        optimizer=instantiate(config["optimizer"]),
        scheduler=instantiate(config["scheduler"]),
        validator=instantiate(config["validator"]),
        inner_steps=config.get("inner_steps"),
        early_stopping=config.get("early_stopping"),
        **{name: config[name] for name in names},
    )


def methods_without_role(role: str) -> list[str]:
    """Names of the methods that do not need a role."""
    able = []
    for file in sorted((plugins.conf_dir() / "method").glob("*.yaml")):
        method: type[Method] = resolve_name(OmegaConf.select(OmegaConf.load(file), "_target_"))
        if role not in method.roles:
            able.append(file.stem)
    return able
