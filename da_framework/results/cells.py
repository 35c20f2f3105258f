"""Cells: the runs that differ in their seed alone, and what a reader tells cells apart by."""

import json
import marshal
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from da_framework.config.moved import UNSHARED
from da_framework.config.relevance import relevant_config
from da_framework.config.run_names import relevant_overrides
from da_framework.core.errors import InputError
from da_framework.results.record import without_keys
from da_framework.results.record_schema import RunRecord

Runs = Mapping[int, RunRecord]
"""The runs of one config, by seed."""
Value = int | float | str
"""Of a config key: a number as it is, all else as text."""

PATHS = ("init_from", "teachers", "network.weights")
"""Keys that name where a run begins: what they name may be made with the same seed."""
NUMBER = re.compile(r"(?<=-)[0-9a-f]{8}(?![0-9A-Za-z])|\d+")
"""In the name of a run: the hash at its end, or a number."""
OF_TASK = ("dataset=", "dataset.", "network=", "network.")
"""How overrides begin that say what is learnt from, and by what network."""
PLAIN_WORD = re.compile(r"(?:[^\s'\"\\]|'[^']*')+")
PLAIN_COMMAND = re.compile(r"(?:[^\s'\"\\]|'[^']*'|[ \t\r\n])*")
"""A command without quotes but single ones."""
FOLLOWS = "*"
"""Stands in a cell's config for what follows the seed."""


class Cell(NamedTuple):
    """What runs share that differ in their seed alone.

    Attributes:
        task: source and target.
        method: its name.
        rest: all that can change a number, but for the seed and the method.
        config: the same with the method's own keys.
        value: of a key that is kept out of both; ``None`` where there is no such key.
    """

    task: str
    method: str
    rest: str
    config: str
    value: Value | None


class SeedNumber(NamedTuple):
    """A number of a run's config that may follow its seed.

    Attributes:
        key: that it stands in.
        place: the how manieth it is of that key's numbers.
        text: itself.
    """

    key: str
    place: int
    text: str


class Draft(NamedTuple):
    """The config of runs that differ in their seed alone, less numbers that may follow it.

    Attributes:
        task: source and target.
        method: its name.
        config: that can change a number.
        texts: of the keys with such numbers, as they are.
        alike: for the runs of this method that are otherwise alike, and for those of any; empty
            where no number was taken out.
        value: of the key that stands apart.
    """

    task: str
    method: str
    config: dict[str, Any]
    texts: Mapping[str, str]
    alike: tuple[str, ...]
    value: Value | None

    @property
    def numbers(self) -> Iterator[SeedNumber]:
        """The numbers that were taken out."""
        for key, text in self.texts.items():
            for place, number in enumerate(NUMBER.findall(text)):
                yield SeedNumber(key, place, number)


class SeedPairs:
    """Seeds with a number that runs have, which are otherwise alike."""

    def __init__(self) -> None:
        self.seeds: set[int] = set()
        self.of: dict[str, set[int]] = {}
        self.count = 0

    def add(self, seed: int, text: str) -> None:
        """A run's."""
        self.seeds.add(seed)
        seeds = self.of.setdefault(text, set())
        self.count += seed not in seeds
        seeds.add(seed)

    @property
    def one_to_one(self) -> bool:
        """Whether every seed has a number of its own."""
        return self.count == len(self.seeds) == len(self.of)


Pairs = dict[tuple[str, str, int], SeedPairs]
"""By what is alike, key and place."""


def assign_cells(records: Sequence[RunRecord], *, over: str = "") -> list[Cell]:
    """The cell of each run, by resolved configs.

    A number of a config that varies as the seed does belongs to the seed, and is no difference:
    ``split_seed`` drawn anew for every seed, or a start that is trained with the same seed. A run
    alone cannot tell: where ``split_seed`` is 1 for every seed, that of seed 1 looks as if it
    followed. So it is decided over all runs that are otherwise alike.

    Args:
        records: of the runs.
        over: the key whose value stands apart.
    """
    known: dict[Any, Draft] = {}
    drafts = []
    for record in records:
        if (same := alike_but_seed(record, over)) not in known:
            known[same] = draft_config(record, over)
        drafts.append((record["config"]["seed"], known[same]))
    pairs: Pairs = {}
    for seed, draft in drafts:
        for number in draft.numbers:
            for alike in draft.alike:
                group = pairs.setdefault((alike, number.key, number.place), SeedPairs())
                group.add(seed, number.text)
    cells: dict[tuple[int, tuple[bool, ...]], Cell] = {}
    assigned = []
    for seed, draft in drafts:
        follow = tuple(follows_seed(seed, draft, number, pairs) for number in draft.numbers)
        if (id(draft), follow) not in cells:
            cells[id(draft), follow] = assign_cell(draft, follow)
        assigned.append(cells[id(draft), follow])
    return assigned


def alike_but_seed(record: RunRecord, over: str = "") -> Any:
    """What is equal for two runs that have one ``Draft``."""
    seed = {} if over == "seed" else {"seed": None}
    config = {**record["config"], **seed}
    return task_of(record), record["choices"]["method"], marshal.dumps(config, UNSHARED)


def draft_config(record: RunRecord, over: str) -> Draft:
    """A run's config, and what of it may follow the seed."""
    config = without_keys(relevant_config(record["config"]), ("seed", over))
    texts = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in leaves(config)
        if (key in PATHS or is_seed(key)) and value not in (None, [])
    }
    for key, text in texts.items():
        replace_value(config, key, NUMBER.sub("#", text))
    alike: tuple[str, ...] = ()
    if texts:
        method = record["choices"]["method"]
        shared = {name: value for name, value in config.items() if name != "method"}
        alike = (
            json.dumps([task_of(record), method, config], sort_keys=True),
            json.dumps([task_of(record), shared], sort_keys=True),
        )
    value = flatten(record["config"]).get(over) if over else None
    return Draft(task_of(record), record["choices"]["method"], config, texts, alike, value)


def assign_cell(draft: Draft, follow: Sequence[bool]) -> Cell:
    """The cell of runs, of whose numbers these follow the seed."""
    config = draft.config
    every = [*zip(draft.numbers, follow, strict=True)]
    for key, text in draft.texts.items():
        numbers = [pair for pair in every if pair[0].key == key]
        shown = iter(
            FOLLOWS if each and (any_number(numbers) or is_seed(key)) else number.text
            for number, each in numbers
        )
        # whatever stood here for other seeds, each of these keys is written anew
        replace_value(config, key, NUMBER.sub(lambda _, shown=shown: next(shown), text))  # type: ignore[misc]
    return Cell(
        *(draft.task, draft.method),
        json.dumps({k: v for k, v in config.items() if k != "method"}, sort_keys=True),
        json.dumps(config, sort_keys=True),
        draft.value,
    )


def any_number(numbers: Sequence[tuple[SeedNumber, bool]]) -> bool:
    """Whether a number follows the seed, and not a hash alone: that changes with everything."""
    return any(follows and not is_hash(number.text) for number, follows in numbers)


def follows_seed(seed: int, draft: Draft, number: SeedNumber, pairs: Pairs) -> bool:
    """Whether a number of a run's config varies as the seed does.

    The runs of its method decide where they have several seeds, else those of any method.
    """
    groups = (pairs[alike, number.key, number.place] for alike in draft.alike)
    group = next((group for group in groups if len(group.seeds) > 1), None)
    if group is not None and (is_hash(number.text) or is_seed(number.key)) and group.one_to_one:
        return True
    if is_hash(number.text) or int(number.text) != seed:
        return False
    return group is None or group.of[number.text] == {seed}


def is_hash(text: str) -> bool:
    """Whether this may be the hash of a run's name, which is of eight digits."""
    return len(text) == 8


def is_seed(key: str) -> bool:
    """Whether a key is a seed beside that of the run."""
    return key.endswith("seed")


def replace_value(config: dict[str, Any], key: str, value: Value) -> None:
    """Puts a value in the place of another, in a config of our own."""
    *parents, name = key.split(".")
    for parent in parents:
        config = config[parent]
    config[name] = value


def group_by_cell(
    records: Sequence[RunRecord], *, over: str = ""
) -> dict[Cell, dict[int, RunRecord]]:
    """The runs of each cell, by seed.

    Raises:
        InputError: two of them have the same seed.
    """
    cells: dict[Cell, dict[int, RunRecord]] = {}
    for record, cell in zip(records, assign_cells(records, over=over), strict=True):
        runs = cells.setdefault(cell, {})
        seed = record["config"]["seed"]
        if seed in runs:
            raise InputError(
                f"two runs of one config with seed {seed}: {runs[seed]['command']} and "
                f"{record['command']}; report one folder at a time"
            )
        runs[seed] = record
    return cells


def task_of(record: RunRecord) -> str:
    """Source and target of a run: ``mnist → usps``; without a source ``nothing → usps``."""
    return " → ".join("+".join(names) or "nothing" for names in sides(record))


def sides(record: RunRecord) -> tuple[list[str], list[str]]:
    """The names of the source's domains, and of the target's."""
    return record["domains"]["source"], record["domains"]["target"]


def flatten(config: Mapping[str, Any]) -> dict[str, Value]:
    """The values of a config by dotted key: numbers and texts as they are, all else as JSON."""
    return {
        key: value
        if isinstance(value, int | float | str) and not isinstance(value, bool)
        else json.dumps(value)
        for key, value in leaves(config)
    }


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a config with their dotted keys."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def setting_of(record: RunRecord) -> list[str]:
    """The overrides of a run beyond method, domains and seed: what a reader tells it by."""
    return list(setting_words(record["command"]))


@cache  # of every run several times, and it takes its time
def setting_words(command: str) -> tuple[str, ...]:
    """The overrides of a command beyond method, domains and seed, in order."""
    apart = ("method=", "seed=", "dataset.source=", "dataset.target=", "dataset.pair=")
    words = relevant_overrides(split_command(command)[2:])
    return tuple(
        sorted(word.removeprefix("method.") for word in words if not word.startswith(apart))
    )


def split_command(command: str) -> list[str]:
    """The words of a command, as a shell has them."""
    if not PLAIN_COMMAND.fullmatch(command):
        return shlex.split(command)  # which takes forty times as long
    return [word.replace("'", "") for word in PLAIN_WORD.findall(command)]


def common_words(records: Sequence[RunRecord]) -> list[str]:
    """What all runs have in common, as overrides: stated once, it is in no row's name."""
    facts = [stated_facts(record) for record in records]
    shared = [key for key, value in facts[0].items() if all(f.get(key) == value for f in facts)]
    words = [f"{key}={facts[0][key]}" for key in shared]
    everywhere = set[str].intersection(*(set(setting_of(record)) for record in records))
    return words + sorted(w for w in everywhere if w.partition("=")[0] not in shared)


def task_words(
    records: Sequence[RunRecord], common: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """The data and network that all runs of a task have in common, and runs of other tasks do not.

    They are the task's, so that a method has one name in all of them.
    """
    words: dict[str, set[str]] = {}
    for record in records:
        own = {word for word in setting_of(record) if word.startswith(OF_TASK)}
        task = task_of(record)
        words[task] = words[task] & own if task in words else own
    return {task: tuple(sorted(own - {*common})) for task, own in words.items()}


def stated_facts(record: RunRecord) -> dict[str, str]:
    """What a table's reader asks first: data set, network, steps, and who chose the checkpoint."""
    config, choices = record["config"], record["choices"]
    dataset = config.get("dataset", {})
    steps = {key: value for key, value in config.items() if key == "steps"}
    facts: dict[str, object] = {
        "dataset": choices.get("dataset"),
        "dataset.root": dataset.get("root"),
        "dataset.protocol": dataset.get("protocol"),
        "network": choices.get("network"),
        "steps": flatten(steps).get("steps"),
        "validator": choices.get("validator"),
    }
    return {key: str(value) for key, value in facts.items() if value is not None}


def cell_settings(
    cells: Mapping[Cell, Runs],
    common: Sequence[str] = (),
    shared: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[Cell, tuple[str, ...]]:
    """What tells cells apart, without what is common to all of them, or to those of their task.

    Cells that their commands do not tell apart have keys added.
    """
    settings = {
        cell: tuple(
            word
            for word in shared_setting(cell, runs)
            if word not in common and word not in shared.get(cell.task, ())
        )
        for cell, runs in cells.items()
    }
    alike: dict[tuple[str, str, tuple[str, ...]], list[Cell]] = {}
    for cell, setting in settings.items():
        alike.setdefault((cell.task, cell.method, setting), []).append(cell)
    for several in alike.values():
        configs = [flatten(json.loads(cell.config)) for cell in several]
        for cell, config in zip(several, configs, strict=True):
            settings[cell] += tuple(
                f"{key}={config.get(key, '')}" for key in differing_keys(configs)
            )
    return settings


def shared_setting(cell: Cell, runs: Runs) -> list[str]:
    """The setting of a cell: what follows the seed is no value of one of its runs."""
    values = flatten(json.loads(cell.config))
    words = []
    for word in setting_of(next(iter(runs.values()))):
        key = word.partition("=")[0]
        value = values.get(key, values.get(f"method.{key}"))
        follows = isinstance(value, str) and FOLLOWS in value and (key in PATHS or is_seed(key))
        words.append(f"{key}={value}" if follows else word)
    return words


def differing_keys(configs: Sequence[Mapping[str, Value]]) -> list[str]:
    """The keys that these configs differ in."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({config.get(key) for config in configs}) > 1]


def describe_difference(cell: Cell, other: Cell) -> str:
    """What the configs of two cells differ in: ``steps: 9 and 10``."""
    configs = [flatten(json.loads(each.config)) for each in (cell, other)]
    return "; ".join(
        f"{key}: {' and '.join(str(config.get(key, 'not there')) for config in configs)}"
        for key in differing_keys(configs)
    )
