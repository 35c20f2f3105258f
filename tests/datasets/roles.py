"""What a data set is told of its roles, where a test does not say otherwise."""

from typing import Any

from omegaconf import OmegaConf

from da_framework.config.plugins import conf_dir
from da_framework.datasets.base import Roles

INDUCTIVE: dict[str, Any] = {
    "source": ["art"],
    "target": ["photo"],
    "protocol": "inductive",
    "labels_per_class": 0,
    "val": 0.2,
    "test": 0.3,
    "split_seed": 0,
}
TRANSDUCTIVE: dict[str, Any] = {
    "target": None,
    "protocol": "transductive",
    "labels_per_class": 0,
    "val": 0.1,
    "test": 0.2,
    "split_seed": 0,
    "batch_size": {},
}


def own_keys(name: str) -> dict[str, Any]:
    """The keys of a data set but its place and its roles, as ``conf/dataset`` has them."""
    node = OmegaConf.load(conf_dir() / "dataset" / f"{name}.yaml")
    every: Any = OmegaConf.to_container(node, resolve=True)
    return {
        key: value
        for key, value in every.items()
        if key not in {"_target_", "root", *Roles.__annotations__}
    }
