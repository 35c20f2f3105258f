"""What a data set is told of its roles, where a test does not say otherwise."""

from typing import Any

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
