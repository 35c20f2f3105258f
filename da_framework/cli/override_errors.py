"""Says what is wrong with a command line that Hydra could not compose, all of it at once."""

import re
import shlex
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from da_framework.config.moved import moved_key
from da_framework.config.schema import check_config, to_plain
from da_framework.core.errors import InputError, listed
from da_framework.core.quoting import override as override_word

ELSEWHERE = {
    "steps": "epoch epochs max_epochs n_epochs num_epochs max_steps max_iter iters iterations",
    "optimizer.lr": "lr learning_rate base_lr optim.lr optimizer.learning_rate",
    "optimizer.weight_decay": "weight_decay wd",
    "dataset.batch_size": "batch_size bs batchsize train_batch_size trainer.batch_size",
    "dataset.root": "root data_root dataroot data_path data dataset.path dataset.data_dir",
    "dataset.size": "image_size img_size resize input_size",
    "dataset.source": "source source_domain src",
    "dataset.target": "target target_domain tgt trg",
    "evaluate_every": "val_interval eval_interval val_check_interval check_val_every_n_epoch",
    "flush_every": "log_interval log_every log_every_n_steps",
    "trainer.devices": "gpus devices num_gpus ngpus gpu",
    "trainer.accelerator": "accelerator device",
    "trainer.precision": "precision amp fp16",
    "out": "output_file out_file save_to output output_dir out_dir save_dir",
    "hydra.run.dir": "output_dir out_dir save_dir output log_dir logdir",
    "optimizer.clip": "gradient_clip_val clip max_grad_norm grad_clip",
    "network.pretrained": "pretrained",
    "network.backbone": "backbone arch",
    "network": "model net model_name",
    "optimizer": "optim optimizer_name",
    "logger.wandb.entity": "entity wandb_entity wandb.entity",
    "logger.wandb.project": "project wandb_project wandb.project project_name",
    "logger.wandb.name": "run_name wandb_name wandb.name experiment_name exp_name name",
    "logger.wandb.notes": "notes wandb_notes wandb.notes",
    "logger.wandb.group": "group wandb_group wandb.group",
    "logger.wandb.tags": "tags wandb_tags wandb.tags",
    "logger.mlflow.uri": "tracking_uri mlflow_tracking_uri mlflow.uri",
    "logger.mlflow.experiment": "mlflow_experiment mlflow_experiment_name mlflow.experiment",
    "early_stopping": "patience early_stop early_stopping_patience",
    "seed": "random_seed manual_seed random_state seed_everything",
    "init_from": "ckpt checkpoint ckpt_path resume resume_from pretrained_path",
    "run": "ckpt checkpoint ckpt_path model model_path checkpoint_path run_dir run_id",
    "pick": "weights which best",
}
"""Our keys, and what people call them elsewhere; of two, the first that a command has."""
NO_KEYS_OF_TRAINING = ("out", "run", "pick")
"""Among them, those that other commands have."""
SAYINGS = {
    "num_workers": "there are no workers: samples are held in memory, or mapped from files",
    "workers": "there are no workers: samples are held in memory, or mapped from files",
    "max_time": "here it is +trainer.max_time=00:01:00:00 (a day is the first of the four), after "
    "which the same command continues; under a Trainer of your own, Trainer(max_time=...)",
}
"""What to say of keys that have no like."""
MOST_OPTIONS = 25
"""Names of a group that are all said to who has typed another."""
NEAREST = 10
"""Of a larger group, those that are."""
CHECKED_LATER = ("evaluate", "rank", "data_check")
"""Commands whose keys are few, and checked when they run."""
MODEL = re.compile(
    r"(wide_)?res(net|next)\d|vgg\d|densenet\d|(mobile|shuffle|squeeze|google|mnas)net|efficientnet"
    r"|convnext|alexnet|vit_|swin|inception|regnet",
    re.IGNORECASE,
)
"""Names of models that torchvision and timm have."""


def elsewhere_hint(key: str, known: Collection[str] | None = None) -> str:
    """What a key that people know from elsewhere is here; nothing if it is none of them.

    Args:
        key: that was typed.
        known: the keys that the command has; ``None``: as ``da train``, with all of its parts.
    """
    last = key.rpartition(".")[2]
    if saying := SAYINGS.get(key, SAYINGS.get(last)):
        return saying
    for ours, theirs in ELSEWHERE.items():
        there = ours not in NO_KEYS_OF_TRAINING if known is None else ours in known
        if {key, last} & {*theirs.split()} and key != ours and there:
            return f"here it is {ours}"
    return ""


def explain_overrides(
    rest: Sequence[str], config_dir: str, name: str, error: Exception
) -> list[str]:
    """A line for every override that cannot be used; Hydra's own words if there is none."""
    overrides = [
        word for word in rest if word.startswith("~") or ("=" in word and not word.startswith("-"))
    ]
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir, version_base="1.3"):
        lines: list[str] = []
        choices: list[list[str]] = []
        keyed: list[Override] = []
        for word in overrides:
            if word.startswith("="):
                lines.append(f"{word}: a key is missing before it; write key=value without spaces")
                continue
            try:
                override = OverridesParser.create().parse_override(word)
            except HydraException as wrong:
                lines.append(f"{word}: {str(wrong).splitlines()[0]}{quoting_hint(word)}")
                continue
            key = override.key_or_group
            if options := group_options(key):
                unknown = unknown_options(override, key, options)
                lines += unknown
                choices += [] if unknown else [every_job(override)]
            elif not key.startswith("hydra"):
                keyed.append(override)
        try:
            lines += unknown_keys(keyed, choices, name)
            if name not in CHECKED_LATER:
                lines += unknown_additions(keyed, choices, name)
        except HydraException as wrong:
            lines += str(wrong).splitlines()
    return lines or str(error).splitlines()


def quoting_hint(word: str) -> str:
    """What to type for a value that is text to a person and not to Hydra; nothing if that fails."""
    key, _, value = word.partition("=")
    quoted = override_word(key, value)
    try:
        OverridesParser.create().parse_override(*shlex.split(quoted))
    except HydraException:
        return ""
    return f"; as text: {quoted}"


def group_options(group: str) -> list[str]:
    """The options of a config group, those in folders below it too; none if it is no group."""
    loader = GlobalHydra.instance().config_loader()
    options = list(loader.get_group_options(group, results_filter=ObjectType.CONFIG))
    for below in loader.get_group_options(group, results_filter=ObjectType.GROUP):
        options += [f"{below}/{own}" for own in group_options(f"{group}/{below}")]
    return options


def unknown_options(override: Override, group: str, options: list[str]) -> list[str]:
    """A line for each chosen name that the group lacks."""
    if override.is_sweep_override():
        chosen: list[Any] = list(override.sweep_string_iterator())
    else:
        value = override.value()
        chosen = value if isinstance(value, list) else [value]
    return [
        unknown_option(group, str(name), options) for name in chosen if str(name) not in options
    ]


def unknown_option(group: str, name: str, options: list[str]) -> str:
    """What to type in the place of a name that a group lacks."""
    if group == "network" and MODEL.match(name):
        backbone = override_word("network.backbone", name)
        return (
            f"network={name}: models are backbones: network=torchvision {backbone}, "
            "or network=timm with it"
        )
    near = get_close_matches(name, options, n=len(options), cutoff=0.4)
    # a name that was not typed to its end is nearer than one with other letters
    near.sort(key=lambda option: not option.startswith(name))
    ordered = [*near, *(option for option in options if option not in near)]
    if len(ordered) > MOST_OPTIONS:
        return (
            f"{group}={name}: there is no such {group}; nearest are {listed(ordered[:NEAREST])}; "
            f"da list {group} shows all {len(ordered)}"
        )
    return f"{group}={name}: there is no such {group}; there are {listed(ordered)}"


def every_job(override: Override) -> list[str]:
    """The overrides of a sweep's jobs; of what is no sweep, itself."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def unknown_keys(overrides: list[Override], choices: list[list[str]], name: str) -> list[str]:
    """A line for each dotted key that no config has, given the chosen parts of each job."""
    jobs = [
        [own[min(i, len(own) - 1)] for own in choices]
        for i in range(max(map(len, choices), default=1))
    ]
    known = list(dict.fromkeys(key for job in jobs for key in dotted_keys(compose(name, job))))
    lines = []
    for override in overrides:
        key = override.key_or_group
        if key not in known and not override.is_add() and not override.is_force_add():
            near = get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"see da {name} --help"
            hint = elsewhere_hint(key, None if name == "train" else known) or hint
            hint = f"it is now {now}" if (now := moved_key(key)) != key else hint
            lines.append(f"{key}: there is no such key; {hint}")
    return lines


def unknown_additions(overrides: list[Override], choices: list[list[str]], name: str) -> list[str]:
    """A line for each key added with ``+`` or ``++`` that no constructor takes."""
    added = [every_job(o)[0] for o in overrides if o.is_add() or o.is_force_add()]
    if not added:
        return []
    # imports torch: only for those who add keys
    from da_framework.config.settings import Settings

    config = compose(name, overrides=[*(own[0] for own in choices), *added])
    # what a job alone can resolve is left out
    parts = [str(key) for key in config if key not in ("logger", "callback")]
    try:
        check_config(to_plain(OmegaConf.masked_copy(config, parts)), Settings)
    except InputError as error:
        return list(error.args)
    return []


def dotted_keys(node: Any, prefix: str = "") -> list[str]:
    """Every dotted key of a config."""
    keys = []
    for key in node:
        keys.append(f"{prefix}{key}")
        child = node._get_node(key)
        if hasattr(child, "_get_node") and hasattr(child, "items") and not child._is_none():
            keys += dotted_keys(child, f"{prefix}{key}.")
    return keys
