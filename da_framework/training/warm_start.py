"""Former runs: weights to start from, and frozen networks to learn from."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from da_framework.config.allowlist import check_record
from da_framework.config.external import resolve_external
from da_framework.config.schema import instantiate
from da_framework.config.settings import InitFunction, InitHead
from da_framework.core.damage import explain_damage, read_torch
from da_framework.core.errors import InputError, listed
from da_framework.core.files import file_sha256
from da_framework.results.folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from da_framework.networks.frozen import Frozen
    from da_framework.networks.network import Network

PREPARED = ("columns", "preparation", "scale", "mean", "std", "classes")
"""What says how a run prepared its samples."""


def checkpoint_path(start: str, key: str = "init_from") -> Path:
    """The checkpoint that a key names.

    Args:
        start: folder of a finished run, or a checkpoint of one.
        key: that names it, for the message.

    Raises:
        InputError: there is none.
    """
    path = Path(start)
    file = RunFolder(path).checkpoint("last") if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{key}={start}: {file} is not there; give the folder of a finished run, "
            "as da train wrote it"
        )
    return file


def weights_fingerprint(config: Mapping[str, Any]) -> str | None:
    """A hash of the weights that a config begins with or learns from, wherever they lie.

    A run is another if they change.
    """
    files = [checkpoint_path(run, "teachers") for run in config.get("teachers") or ()]
    if config.get("init_from") is not None:
        files = [checkpoint_path(config["init_from"]), *files]
    if file := config["network"].get("weights"):
        files.append(Path(file).expanduser())
    hashes = []
    for file in files:
        if file.is_file():  # the network says which of its own is not there
            hashes.append(file_sha256(file)[:16])
    return " ".join(hashes) or None


def former_samples(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the run of a record knew of its samples, and the classes it has learnt."""
    if record is None:
        return {}
    return {**record.get("inputs", {}), "classes": record["classes"]}


def samples_begun_with(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the run that a config begins with, or those that it learns from, knew of their samples.

    Nothing where there is no record, or where the samples of several were not prepared alike; the
    classes alone do not count where the head is a fresh one.
    """
    start = config.get("init_from")
    runs = config.get("teachers") or () if start is None else [start]
    records = [RunFolder(Path(run)).read_record() if Path(run).is_dir() else None for run in runs]
    known = [former_samples(record) for record in records]
    if not known or any(own.get(key) != known[0].get(key) for own in known[1:] for key in PREPARED):
        return {}
    fresh = start is not None and config.get("init_head") == "fresh"
    return {key: value for key, value in known[0].items() if not (fresh and key == "classes")}


def without_pretrained(network: Mapping[str, Any]) -> dict[str, Any]:
    """A network's config for weights that are loaded into it, with which nothing is trained."""
    unneeded = {"pretrained": False, "weights": None, "recompute": False}
    return {**network, **{key: own for key, own in unneeded.items() if key in network}}


def load_initial_weights(
    network: "Network",
    start: str,
    classes: tuple[str, ...],
    *,
    head: InitHead = "loaded",
    share: float = 1.0,
    function: InitFunction = "identity",
) -> None:
    r"""Begins a network with a finished run's weights, or with a mixture of them and its own.

    .. math:: W \leftarrow f(\alpha W_{\text{run}} + (1 - \alpha) W)

    Buffers, such as the statistics of batch norm, are mixed without f.

    Args:
        network: encoder and head.
        start: folder of a finished run, or a checkpoint of one.
        classes: that are to be learnt.
        head: ``fresh``: the network keeps its own, and the run may have had other classes.
        share: α.
        function: f.

    Raises:
        InputError: the run had other classes or another network, or its checkpoint is damaged.
    """
    # here and not above: a finished run is recognised without it
    import torch

    state = read_network_state(start)
    record = RunFolder(Path(start)).read_record() if Path(start).is_dir() else None
    fresh = head == "fresh"
    if record and tuple(record["classes"]) != classes and not fresh:
        raise InputError(
            f"init_from={start}: the run learnt the classes {listed(record['classes'])}, "
            f"this one has {listed(classes)}; init_head=fresh begins with a head of its own"
        )

    def skipped(name: str) -> bool:
        return fresh and name.startswith("head.")

    loaded = {name: weight for name, weight in state.items() if not skipped(name)}
    present = {n: weight for n, weight in network.state_dict().items() if not skipped(n)}
    check_same_network(start, loaded, present)
    if fresh:
        network.keep_former_head(
            {n.removeprefix("head."): w for n, w in state.items() if n.startswith("head.")}
        )
    functions: Mapping[str, Callable[[Tensor], Tensor]] = {
        "identity": lambda weight: weight,
        "tanh": torch.tanh,
        "sin": torch.sin,
        "softsign": torch.nn.functional.softsign,
    }
    learnt = {name for name, _ in network.named_parameters()}
    for name, weight in loaded.items():
        if weight.is_floating_point():
            mixed = share * weight + (1 - share) * present[name]
            loaded[name] = functions[function](mixed) if name in learnt else mixed
    network.load_state_dict(loaded, strict=False)
    network.loaded = frozenset(loaded)


def load_teachers(
    runs: Sequence[str],
    shape: tuple[int, ...],
    widths: tuple[int, ...] = (),
    *,
    trust: Sequence[Any] = (),
) -> "tuple[Frozen, ...]":
    """The frozen networks of finished runs.

    Args:
        runs: their folders.
        shape: of the inputs that they will be given.
        widths: columns of each domain, where they differ.
        trust: names that their records may build beside what installed configs name.

    Raises:
        InputError: one is not there, or takes other inputs.
    """
    from da_framework.networks.frozen import Frozen

    networks = []
    for run in runs:
        record = RunFolder(Path(run)).read_record()
        if record is None:
            raise InputError(f"teachers: {run} is not the folder of a finished run")
        parts, what = {"network": record["config"]["network"]}, f"the record of {run}"
        check_record(parts, trust=trust, what=what)
        parts = resolve_external(parts, trust=trust, what=what)
        state = read_network_state(run, "teachers")
        logits = [weight for name, weight in state.items() if name.startswith("head.")][-1]
        network = instantiate(without_pretrained(parts["network"]))(shape, len(logits), widths)
        check_same_network(run, state, network.state_dict(), "teachers")
        network.load_state_dict(state)
        networks.append(Frozen(network))
    return tuple(networks)


def read_network_state(start: str, key: str = "init_from") -> "dict[str, Tensor]":
    """The weights of the network in a checkpoint.

    Raises:
        InputError: it is damaged.
    """
    file, prefix = checkpoint_path(start, key), "method.network."
    mend = f"{key} names another run"
    checkpoint = read_torch(file, "checkpoint of a run", mend=mend)
    with explain_damage(file, "checkpoint of a run", mend=mend):
        state = checkpoint["state_dict"]
        network = {n.removeprefix(prefix): w for n, w in state.items() if n.startswith(prefix)}
        if wrong := [name for name, weight in network.items() if not hasattr(weight, "shape")]:
            raise ValueError(f"{wrong[0]} is no tensor")
        return network


def check_same_network(
    start: str, there: Mapping[str, Any], here: Mapping[str, Any], key: str = "init_from"
) -> None:
    """Refuses the weights of another network, and says what differs."""
    from da_framework.networks.weights import name_first, weight_differences

    if differing := weight_differences(there, here):
        head = all(name.startswith("head.") for name in differing) and key == "init_from"
        raise InputError(
            f"{key}={start}: the run's weights are of another network: {name_first(differing)}"
            + ("; init_head=fresh begins with a head of its own" if head else "")
        )
