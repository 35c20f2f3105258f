"""Endless streams of batches: every step's samples are a pure function of seed and step."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import torch
from torch import Tensor

from da_framework.core.batch import Samples, as_input, send
from da_framework.core.errors import InputError
from da_framework.core.room import memory_limit
from da_framework.core.seeding import mix

INDEX_BYTES = 24
"""Of each sample in a batch: its label, domain and position."""
MOST_STEPS = 64
"""Steps whose samples are gathered at once."""
GATHERED_NUMBERS = 2**16
"""Numbers that are gathered at once, but for a batch that has more."""
ALIGNED = 64
"""Numbers, of a byte or more, that torch's memory begins at multiples of."""


class Stream:
    """Endless batches of one role: every sample once an epoch, or every class equally often.

    Several domains have equal shares of a batch. A batch larger than its domain holds samples
    twice.

    Args:
        samples: of the role.
        size: of the global batch.
        seed: of the order.
        role: its name, for messages.
        balanced: whether every class, in place of every sample, is drawn equally often.
    """

    def __init__(
        self, samples: Samples, size: int, *, seed: int, role: str, balanced: bool = False
    ) -> None:
        if size < 1:
            raise InputError(f"the role {role} needs a batch size: dataset.batch_size.{role}=64")
        needed = size * (4 * math.prod(samples.x.shape[1:]) + INDEX_BYTES)
        if needed > (limit := memory_limit()):
            raise InputError(
                f"dataset.batch_size.{role}={size} cannot be: one batch would take "
                f"{needed / 2**30:.0f} GiB, and {limit / 2**30:.0f} GiB is all the memory there is"
            )
        self.samples = samples
        self.size = size
        self.role = role
        self.steps_at_once = gathered_steps(size, samples.x.shape[1:])
        self._block: tuple[int, int, int] | None = None
        self._batches: list[Samples] = []
        self._gathered_from: Samples | None = None
        self._ahead: tuple[tuple[int, int, int], Tensor] | None = None
        domains = torch.unique(samples.domain).tolist()
        if size < len(domains):
            raise InputError(
                f"dataset.batch_size.{role}={size} is too small for equal shares of "
                f"{len(domains)} domains"
            )
        rows = [torch.nonzero(samples.domain == domain).squeeze(1) for domain in domains]
        shares = [size // len(domains)] * len(domains)
        for i, _ in zip(cycle(range(len(domains))), range(size % len(domains)), strict=False):
            shares[i] += 1
        self.samplers = [
            BalancedSampler(members, samples.y[members], share, seed=mix(seed, index))
            if balanced
            else EpochSampler(members, share, seed=mix(seed, index))
            for index, (members, share) in enumerate(zip(rows, shares, strict=True))
        ]

    def batch(self, step: int, rank: int, world: int) -> Samples:
        """This rank's slice of the global batch; it is not to be changed."""
        block = step // self.steps_at_once, rank, world
        if block != self._block or self._gathered_from is not self.samples:
            self._batches = self._gather(*block)
            self._block, self._gathered_from = block, self.samples
        return self._batches[step % self.steps_at_once]

    def _gather(self, block: int, rank: int, world: int) -> list[Samples]:
        """The batches of the next steps, cut out of what one look-up a field gives."""
        if self.size % world:
            raise InputError(
                f"dataset.batch_size.{self.role}={self.size} cannot be shared by {world} processes"
            )
        steps, local = self.steps_at_once, self.size // world
        ahead, self._ahead = self._ahead, None
        place = block, rank, world
        rows = ahead[1] if ahead and ahead[0] == place else self._rows(*place)
        samples = self.samples
        if read_ahead := getattr(samples.x, "read_ahead", None):
            x = samples.x[rows]  # before they move: they are read here
            following = block + 1, rank, world
            self._ahead = following, self._rows(*following)
            read_ahead(self._ahead[1])
            rows = send(rows, x.device)
        else:
            rows = send(rows, samples.x.device)
            # rows of bytes are several times faster than by samples.x[rows]
            x = samples.x.index_select(0, rows)
        x, y = as_input(x), samples.y.index_select(0, rows)
        # a sample's number is its position, and a lone domain is every sample's: nothing to look up
        alone = len(self.samplers) == 1 and len(rows) <= len(samples.domain)
        domain = samples.domain[: len(rows)] if alone else samples.domain.index_select(0, rows)
        if steps == 1:
            return [Samples(x, y, domain, rows)]
        fields = (torch.split(field, local) for field in (x, y, domain, rows))
        return [Samples(*batch) for batch in zip(*fields, strict=True)]

    def _rows(self, block: int, rank: int, world: int) -> Tensor:
        """Positions of this rank's samples in the steps of a block."""
        steps, local = self.steps_at_once, self.size // world
        taken = [sampler.take(block * steps, steps) for sampler in self.samplers]
        if len(taken) == 1 and world == 1:
            return taken[0]
        every = torch.cat([part.view(steps, -1) for part in taken], 1)
        return every[:, local * rank : local * (rank + 1)].flatten()


def gathered_steps(size: int, shape: Sequence[int]) -> int:
    """Of how many steps the samples are gathered at once.

    What a look-up costs beside its copying is shared by the steps of small batches. A batch begins
    where it would in memory of its own, since sums may hang on that in their last bits.

    Args:
        size: of the global batch.
        shape: of a sample.
    """
    numbers = size * math.prod(shape)
    return 1 if numbers % ALIGNED else max(1, min(MOST_STEPS, GATHERED_NUMBERS // numbers))


class EpochSampler:
    """Samples of one domain, in an order that seed and epoch decide.

    Batch k is cut out of the sequence of all epochs, which may end within a batch.

    Args:
        rows: positions of the samples within their role.
        size: samples of the domain in a batch.
        seed: of the orders.
    """

    def __init__(self, rows: Tensor, size: int, *, seed: int) -> None:
        self.rows = rows
        self.count = len(rows)
        self.size = size
        self.seed = seed
        self._orders: dict[int, Tensor] = {}

    def take(self, step: int, steps: int = 1) -> Tensor:
        """Positions of the samples in batch ``step``, or in so many from it on."""
        start, stop = step * self.size, (step + steps) * self.size
        pieces = []
        while start < stop:
            number, first = divmod(start, self.count)
            piece = self._order(number)[first : first + stop - start]
            pieces.append(piece)
            start = min(stop, (number + 1) * self.count)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _order(self, number: int) -> Tensor:
        if number not in self._orders:
            generator = torch.Generator().manual_seed(mix(self.seed, number))
            order = self.rows[torch.randperm(self.count, generator=generator)]
            self._orders = {k: v for k, v in self._orders.items() if k == number - 1}
            self._orders[number] = order
        return self._orders[number]


class BalancedSampler:
    """Samples of one domain, every class equally often.

    Classes take turns, once each a round and in an order that seed and round decide; in a round, a
    class gives the next of its own samples, all of them once before any again. A round may end
    within a batch.

    Args:
        rows: positions of the samples within their role.
        y: their labels.
        size: samples of the domain in a batch.
        seed: of the orders.
    """

    def __init__(self, rows: Tensor, y: Tensor, size: int, *, seed: int) -> None:
        labels = torch.unique(y).tolist()
        self.size = size
        self.turns = EpochSampler(torch.arange(len(labels)), size, seed=mix(seed, "turns"))
        self.members = [
            EpochSampler(rows[y == label], 1, seed=mix(seed, "class", label)) for label in labels
        ]

    def take(self, step: int, steps: int = 1) -> Tensor:
        """Positions of the samples in batch ``step``, or in so many from it on."""
        turns = enumerate(self.turns.take(step, steps).tolist(), start=step * self.size)
        return torch.cat([self.members[c].take(turn // len(self.members)) for turn, c in turns])


class EndlessLoader:
    """Yields zeros without end: a step fetches its batch itself, by ``Domains.batch``.

    The step number lives in the module alone, so a resumed run cannot lose step.
    """

    def __iter__(self) -> "EndlessLoader":
        return self

    def __next__(self) -> int:
        return 0

    def state_dict(self) -> dict[str, int]:
        """Empty; that it exists tells the trainer that resuming is exact."""
        return {}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restores nothing: there is no state."""


class EpochLoader(EndlessLoader):
    """The same, of so many steps: what Lightning takes for an epoch.

    Args:
        steps: in it.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __len__(self) -> int:
        return self.steps
