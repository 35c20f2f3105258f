"""What a method, its network and its data need of one another: a small check for each need.

A check is a function that says what is wrong; nothing if all is right.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from da_framework.config.settings import INIT_DEFAULTS
from da_framework.core.errors import InputError, listed
from da_framework.core.quoting import override
from da_framework.datasets.datamodule import Domains
from da_framework.methods.base import Method
from da_framework.methods.extra import Extra
from da_framework.networks.network import Network
from da_framework.networks.series import SeriesLayer

BALANCES = (("method", "class_weights"), ("dataset", "sampler"))
"""The keys by which classes of different sizes come to count alike."""


@dataclass(frozen=True)
class Plan:
    """What is to be built.

    Attributes:
        config: resolved.
        method: the class of it.
        initialise: whether the network begins as the config says; not where weights are loaded.
        extra_terms: added by configuration.
    """

    config: Mapping[str, Any]
    method: type[Method]
    initialise: bool
    extra_terms: Mapping[str, Extra]

    @property
    def name(self) -> str:
        """Of the method, as messages call it."""
        return self.method.__name__

    @property
    def from_scratch(self) -> bool:
        """Whether the network is of no training."""
        return self.initialise and self.config.get("init_from") is None


def check_config_requirements(plan: Plan) -> None:
    """Holds a plan against all that needs neither data nor network.

    Raises:
        InputError: with a line for everything that is wrong.
    """
    raise_problems(requirement(plan) for requirement in OF_CONFIG)


def check_data_requirements(plan: Plan, domains: Domains) -> None:
    """Holds a plan against its data.

    Raises:
        InputError: with a line for everything that is wrong.
    """
    raise_problems(requirement(plan, domains) for requirement in OF_DATA)


def check_network_requirements(plan: Plan, domains: Domains, network: Network) -> None:
    """Holds a plan and its data against the network.

    Raises:
        InputError: with a line for everything that is wrong.
    """
    raise_problems(requirement(plan, domains, network) for requirement in OF_NETWORK)


def raise_problems(problems: Iterable[str]) -> None:
    """Raises what is wrong, if anything is."""
    if wrong := list(filter(None, problems)):
        raise InputError(*wrong)


# of the config alone


def has_trained_network(plan: Plan) -> str:
    """A method that goes on from a trained network is given one."""
    if not (plan.method.needs_init_from and plan.from_scratch):
        return ""
    return (
        f"{plan.name} goes on from a trained network: train one on the source first, then "
        "give its folder: init_from=runs/..."
    )


def begins_with_a_run(plan: Plan) -> str:
    """Keys that say how to begin with a former run come with that run."""
    changed = [key for key, usual in INIT_DEFAULTS.items() if plan.config.get(key, usual) != usual]
    if not changed or plan.config.get("init_from") is not None:
        return ""
    return f"{listed(changed)}: init_from names no run to begin with"


def has_teachers(plan: Plan) -> str:
    """A method that learns from former runs is given some."""
    if not plan.method.needs_teachers or plan.config.get("teachers") or not plan.initialise:
        return ""
    return f"{plan.name} learns from former runs: teachers=[runs/a,runs/b] names their folders"


def heeds_teachers(plan: Plan) -> str:
    """Former runs are given to a method that learns from them."""
    if plan.method.needs_teachers or not plan.config.get("teachers"):
        return ""
    return f"teachers: {plan.name} learns from none"


def heeds_refresh_every(plan: Plan) -> str:
    """How often to refresh is said of a method that refreshes while it trains."""
    every = plan.config["method"].get("refresh_every")
    if every is None or (plan.method.refreshes and not plan.method.closed_form):
        return ""
    return f"method.refresh_every={every}: {plan.name} makes nothing anew while it trains"


def heeds_extra_terms(plan: Plan) -> str:
    """Terms are added to a method that has a loss."""
    if not (plan.extra_terms and plan.method.closed_form):
        return ""
    return f"term={listed(plan.extra_terms)}: {plan.name} has no loss to add to"


def can_be_compiled(plan: Plan) -> str:
    """Where the network is to be compiled, there is one that is trained, and a compiler."""
    if not (plan.config.get("compile") and plan.initialise):
        return ""
    if plan.config["network"].get("recompute", False):
        return "compile=true and network.recompute=true: one of the two"
    if plan.method.closed_form:
        return f"compile=true: {plan.name} trains no network"
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler):
        return ""
    return (
        f"compile=true needs a C++ compiler, but there is no {compiler}: install it, or name "
        "another in the environment variable CXX"
    )


# of the data


def can_balance_classes(plan: Plan, domains: Domains) -> str:
    """Classes are balanced, by weights or by how samples are drawn, where labels are learnt from.

    Not in both ways at once, which would make rare classes count more than the others.
    """
    keys = [f"{part}.{key}" for part, key in BALANCES if plan.config[part].get(key) == "balanced"]
    balanced = " and ".join(f"{key}=balanced" for key in keys)
    if keys and plan.method.closed_form:
        return f"{balanced}: {plan.name} is fitted to all samples at once, without a loss"
    if keys and not domains.task.class_counts:
        return f"{balanced}: {plan.name} learns from no labels"
    return f"{balanced}: one of the two" if len(keys) > 1 else ""


def extra_terms_have_roles(plan: Plan, domains: Domains) -> str:
    """Added terms read roles that a batch holds."""
    for name, term in plan.extra_terms.items():
        if missing := [role for role in term.roles if role not in domains.train]:
            return f"term={name} reads the role {listed(missing)}, which {plan.name} is not given"
    return ""


def has_several_sources(plan: Plan, domains: Domains) -> str:
    """A method that learns from how sources differ is given several."""
    if not plan.method.compares_sources or domains.task.sources != 1:
        return ""
    source, target = domains.dataset.source[0], domains.dataset.target[-1]
    if (left_out := domains.dataset.left_out) is not None:
        return (
            f"{plan.name} compares sources, and dataset.left_out={left_out} leaves only one, "
            f"{source}: of two sources none can be left out"
        )
    others = [name for name in domains.dataset.names if name not in (source, target)]
    sides = {"source": [source, *others], "target": [target]}
    return f"{plan.name} compares sources, and there is only one source, {source}: " + (
        " ".join(override(f"dataset.{side}", names) for side, names in sides.items())
        if others
        else f"beside the target {target} the data needs two other domains at least"
    )


def columns_can_be_compared(plan: Plan, domains: Domains) -> str:
    """A method in closed form compares rows column by column, so domains have the same columns."""
    if not (plan.from_scratch and plan.method.closed_form and domains.task.widths):
        return ""
    return (
        f"{plan.name} compares rows column by column, but {domains.task.columns}: "
        "init_from=runs/... takes the features of a network trained on them"
    )


# of the network


def features_are_of_training(plan: Plan, domains: Domains, network: Network) -> str:
    """A method in closed form is fitted to inputs, or to features that something has learnt."""
    learnable = any(True for _ in network.encoder.parameters())
    if not (plan.from_scratch and plan.method.closed_form and learnable):
        return ""
    return (
        f"{plan.name} is fitted to features, and this network's are of no training: "
        "network=identity takes the inputs themselves, init_from=runs/... a trained network"
    )


def tokenizers_agree(plan: Plan, domains: Domains, network: Network) -> str:
    """Token ids are of the tokenizer that the network reads."""
    given = domains.dataset.tokens
    expected = getattr(network.encoder.backbone, "tokens", None)
    if given == expected:
        return ""
    return (
        f"the inputs are token ids of {given or 'no tokenizer'}, but the network reads those of "
        f"{expected or 'none'}: texts need network=text, and it needs texts, with the "
        "dataset.tokenizer and dataset.vocabulary that network.tokenizer and "
        "network.vocabulary name"
    )


def inputs_can_be_perturbed(plan: Plan, domains: Domains, network: Network) -> str:
    """A method that perturbs its inputs is given numbers that can be added to."""
    if domains.dataset.tokens is None or not plan.method.perturbs_inputs:
        return ""
    return f"{plan.name} perturbs its inputs a little, which token ids cannot be"


def series_are_read_to_their_end(plan: Plan, domains: Domains, network: Network) -> str:
    """Series of unequal length are given to a network that heeds where each ends."""
    heeding = any(isinstance(layer, SeriesLayer) for layer in network.encoder.backbone.modules())
    if not domains.dataset.padded or heeding:
        return ""
    return (
        "the series are of unequal length, which this network does not heed: network=cnn1d and "
        "network=recurrent do, and dataset.window cuts them into windows of one length"
    )


def convolutions_are_there(plan: Plan, domains: Domains, network: Network) -> str:
    """Channels are laid out last where there are convolutions of images."""
    if not plan.config.get("channels_last") or has_image_convolution(network):
        return ""
    return "channels_last=true: the network has no convolution of images"


def has_image_convolution(network: nn.Module) -> bool:
    """Whether some weight is that of a convolution in two dimensions."""
    return any(weight.dim() == 4 for weight in network.parameters())


OF_CONFIG: tuple[Callable[[Plan], str], ...] = (
    has_trained_network,
    begins_with_a_run,
    has_teachers,
    heeds_teachers,
    heeds_refresh_every,
    heeds_extra_terms,
    can_be_compiled,
)
OF_DATA: tuple[Callable[[Plan, Domains], str], ...] = (
    can_balance_classes,
    extra_terms_have_roles,
    has_several_sources,
    columns_can_be_compared,
)
OF_NETWORK: tuple[Callable[[Plan, Domains, Network], str], ...] = (
    features_are_of_training,
    tokenizers_agree,
    inputs_can_be_perturbed,
    series_are_read_to_their_end,
    convolutions_are_there,
)
