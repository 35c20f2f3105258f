"""Features of a frozen backbone: computed once, kept on disk, shared by every run that has it."""

import hashlib
import logging
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from da_framework.core.array_cache import read_array, write_array
from da_framework.core.batch import Outputs, Samples, as_input
from da_framework.core.files import wait_for_lock
from da_framework.core.room import require_disk, require_memory
from da_framework.datasets.base import Array, Dataset
from da_framework.methods.base import Method, evaluating
from da_framework.networks.network import rows_per_pass

if TYPE_CHECKING:
    from da_framework.networks.network import Network

log = logging.getLogger(__name__)

SHARD = 4096
"""Rows of a file."""
ROWS = 256
"""Rows of a pass, at most."""


def with_cached_features(
    dataset: Dataset, network: "Network", folder: Path | None, device: str
) -> Dataset:
    """The same data set with the backbone's features in the place of its inputs.

    Args:
        dataset: of inputs.
        network: whose backbone is frozen; it takes features as it takes inputs.
        folder: where they are kept; ``None``: in memory alone.
        device: that computes them.
    """
    backbone = network.encoder.backbone.to(device)
    weights = fingerprint(network)
    other = copy(dataset)
    other._domains = {}
    domains: list[Shards] = []
    for name in dataset.domains:
        x = dataset[name].x
        shards = Shards(x, network, device, folder and folder / features_key(weights, x)[:24])
        other.replace(name, dataset[name]._replace(x=shards.features()))
        domains.append(shards)
    backbone.to("cpu")
    size = sum(shards.size for shards in domains)
    where = f"{folder} ({size / 2**20:.1f} MiB)" if folder else "memory alone"
    cached, computed = (
        sum(counts) for counts in zip(*((d.cached, d.computed) for d in domains), strict=True)
    )
    log.info("features of %d samples found, of %d computed; in %s", cached, computed, where)
    return other


class Shards:
    """The features of one domain, a file for some thousand rows.

    Args:
        x: all inputs of the domain.
        network: whose frozen backbone makes features.
        device: that computes them.
        folder: of the files, if they are kept.

    Attributes:
        cached: samples whose features were there.
        computed: samples whose features were not.
        size: of the files, in bytes.
    """

    def __init__(self, x: Array, network: "Network", device: str, folder: Path | None) -> None:
        self.x = x
        self.network = network
        self.device = device
        self.folder = folder
        self.cached = self.computed = self.size = 0

    def features(self) -> Array:
        """Of all rows, in their order; what is missing or damaged is computed."""
        starts = range(0, len(self.x), SHARD)
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with wait_for_lock(self.folder, "computes features"):
                    kept = [self.kept(start, self.folder / f"{start:09d}.npy") for start in starts]
                return np.concatenate(kept)
            except OSError as error:
                log.warning("features are not kept in %s: %s", self.folder, error)
        return np.concatenate([self.compute(start) for start in starts])

    def kept(self, start: int, file: Path) -> Array:
        """The features of some rows, from their file if it is sound."""
        rows = min(SHARD, len(self.x) - start)
        features = read_array(file, rows)
        if features is None:
            features = self.compute(start)
            # of this domain's rest: nothing is begun that cannot be ended
            need = features.nbytes * (len(self.x) - start) // rows
            mend = "feature_cache names another folder; null keeps none"
            require_disk(need, file.parent, "features", mend=mend)
            require_memory(need, "the features of a frozen backbone", mend="network.freeze=null")
            write_array(file, features)
        else:
            self.cached += rows
        self.size += file.stat().st_size
        return features

    def compute(self, start: int) -> Array:
        """Passes some rows through the backbone, in evaluation mode."""
        backbone = self.network.encoder.backbone
        rows = self.x[start : start + SHARD]
        size = rows_per_pass(backbone, rows.shape, ROWS)
        weight = next(backbone.parameters())
        with torch.no_grad(), evaluating(self.network):
            passes = [  # copies: a mapped file is not to be written
                backbone(as_input(torch.tensor(rows[i : i + size])).to(weight)).float().cpu()
                for i in range(0, len(rows), size)
            ]
        self.computed += len(rows)
        features: Array = torch.cat(passes).numpy()
        return features


class SharedFeatures:
    """Passes the same samples through the frozen backbone of several runs once.

    Attributes:
        features: by what the backbone is and what the samples hold.
    """

    def __init__(self) -> None:
        self.features: dict[str, Tensor] = {}

    def evaluate(self, method: Method, samples: Samples) -> Outputs:
        """What ``method.evaluate_samples`` gives, but for the rounding of other passes.

        Args:
            method: of a finished run.
            samples: whose inputs are raw.
        """
        network = method.network
        indistinct = network.encoder.shape == (network.encoder.width,)
        raw = method.needs_raw_inputs or method.task.widths or indistinct
        if raw or not network.backbone_frozen:
            return method.evaluate_samples(samples)
        chunks = (samples.at(slice(i, i + ROWS)).x for i in range(0, len(samples.y), ROWS))
        weights = fingerprint(network)
        x = torch.cat([self.of_rows(network, weights, rows) for rows in chunks])
        seen = Samples(x, samples.y, samples.domain, samples.row)
        return method.evaluate_samples(seen)._replace(x=samples.x)

    def of_rows(self, network: "Network", weights: str, rows: Tensor) -> Tensor:
        """Features of a few samples."""
        x = rows.cpu().numpy()
        key = features_key(weights, x)
        if key not in self.features:
            made = Shards(x, network, rows.device.type, None).features()
            self.features[key] = torch.from_numpy(made)
        return self.features[key].to(rows.device)


def features_key(weights: str, x: Array) -> str:
    """A hash of inputs and of what makes features of them."""
    digest = hashlib.sha256(f"{weights} {x.shape} {x.dtype}".encode())
    digest.update(np.ascontiguousarray(x).data)
    return digest.hexdigest()


def fingerprint(network: "Network") -> str:
    """A hash of the backbone: what it is made of and its weights."""
    backbone = network.encoder.backbone
    digest = hashlib.sha256(repr(backbone).encode())
    for name, weight in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
