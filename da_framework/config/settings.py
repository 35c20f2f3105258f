"""The keys of ``da train``, with their types and ranges; none of it needs torch."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from da_framework.core.types import ConfigNode, Count, External, Index, Irrelevant, Share

InitHead = Literal["loaded", "fresh"]
"""The head of a network that begins with a former run's weights."""

InitFunction = Literal["identity", "tanh", "sin", "softsign"]
"""What a mixture of former and random weights goes through."""

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
    trainer: Annotated[Any, Irrelevant("accelerator", "devices", "num_nodes", "strategy")]
    seed: Index
    steps: Count
    evaluate_every: Count
    checkpoint_every: Annotated[Count, Irrelevant()]
    flush_every: Annotated[Count, Irrelevant()]
    again: Annotated[bool, Irrelevant()]
    data_dir: Annotated[str, Irrelevant(), External(off="")]
    init_from: Annotated[str | None, External(off=None)] = None
    init_head: InitHead = "loaded"
    init_share: Share = 1.0
    init_function: InitFunction = "identity"
    teachers: Annotated[list[str], External(off=[])] = field(default_factory=list)
    trust: Annotated[list[Any], Irrelevant()] = field(default_factory=list)
    early_stopping: Count | None = None
    inner_steps: Annotated[Count | None, Irrelevant()] = None
    compile: bool = False
    channels_last: bool = False
    tf32: TF32 = "convolutions"
    feature_cache: Annotated[str | None, Irrelevant(), External(off=None)] = None
    term: Any = None
    logger: Annotated[Any, Irrelevant()] = None
    callback: Annotated[Any, Irrelevant()] = None
    paper: Annotated[Any, Irrelevant()] = None
