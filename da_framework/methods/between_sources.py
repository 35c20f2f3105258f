"""What aligns source and target, on every two sources."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import ClassVar

import torch

from da_framework.core.batch import Outputs, Term
from da_framework.methods.generalization import Generalization


class BetweenSources(Generalization):
    r"""What aligns source and target, on every two sources in their place.

    .. math:: \frac{1}{\lvert P \rvert} \sum_{(a, b) \in P} \ell(a, b)

    Of two sources it is the method itself; a batch of a single source is paired with itself.
    """

    compares_sources: ClassVar[bool] = True
    aligns: ClassVar[bool] = False

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        parts = split_by_domain(outputs["source"])
        pairs = list(combinations(parts, 2)) or [(parts[0], parts[0])]
        terms = [self.terms(first, second) for first, second in pairs]
        return {
            name: Term(torch.stack([own[name].value for own in terms]).mean(), term.weight)
            for name, term in terms[0].items()
        }

    def warnings(self, outputs: Mapping[str, Outputs]) -> Iterator[str]:
        return iter(())  # what is said of source and target is not of sources


def split_by_domain(outputs: Outputs) -> list[Outputs]:
    """The samples of each domain that there is."""
    return [
        Outputs(*(field[outputs.domain == number] for field in outputs))
        for number in torch.unique(outputs.domain)
    ]
