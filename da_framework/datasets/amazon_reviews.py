"""Amazon Reviews: their sentiment, in four departments, as bags of words."""

from typing import Annotated, ClassVar, Literal, Unpack

import numpy as np
from scipy.sparse import csr_matrix

from da_framework.core.types import External, Irrelevant
from da_framework.datasets.base import PARTS, Domain, Roles
from da_framework.datasets.msda import Denoising
from da_framework.datasets.published import Published, PublishedFile

VOCABULARY_SIZE = 5000
TRAINING_SAMPLES = 2000
"""Training samples of a domain; they come first."""


class AmazonReviews(Published):
    """Reviews of books, DVDs, electronics and kitchen tools: negative, or positive.

    Counts of 5000 words and pairs of words; 2000 training samples of each domain; the official
    rest is the test part.

    - Blitzer, Dredze, Pereira, "Biographies, Bollywood, Boom-boxes and Blenders", ACL 2007.
    - Chen et al., "Marginalized Denoising Autoencoders for Domain Adaptation", ICML 2012: the 5000.
    - Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, table 1.

    Args:
        counts: ``raw``, ``log``: log(1 + count), or ``binary``.
        denoising: layers that are fitted, without labels, to the training samples of the domains in
            use; what they make of the counts stands beside them. ``None``: the counts alone.
        data_dir: the folder that holds ``amazon_reviews/``.
    """

    classes = ("negative", "positive")
    names = ("books", "dvd", "electronics", "kitchen")
    folder = "amazon_reviews"
    origins: ClassVar = {
        "bow5000.npz": PublishedFile(
            3426551,
            "a8bcca23466392580877189b0c2ae11b9ade5053c15e2536cc0ef35b1cee990c",
            "the bags of words of "
            "https://github.com/GRAAL-Research/domain_adversarial_neural_network",
        )
    }

    def __init__(
        self,
        *,
        counts: Literal["raw", "log", "binary"],
        denoising: Denoising | None,
        data_dir: Annotated[str, Irrelevant(), External()],
        **roles: Unpack[Roles],
    ) -> None:
        self.counts = counts
        self.denoising = denoising
        super().__init__(data_dir=data_dir, **roles)

    def file(self, name: str) -> str:
        return "bow5000.npz"

    def licence(self, name: str) -> str:
        return "none stated; used for research"

    def load(self, name: str) -> Domain:
        bags = self.count_words(name)
        if self.denoising is None:
            return bags
        every = [self.count_words(domain).x[:TRAINING_SAMPLES] for domain in sorted(self.domains)]
        return bags._replace(x=self.denoising(bags.x, np.concatenate(every)))

    def count_words(self, name: str) -> Domain:
        """A domain's word counts."""
        arrays = self.load_arrays(name)
        parts = []
        for part in PARTS:
            data, indices, indptr = (
                arrays[f"{name}_{part}_{key}"] for key in ("data", "indices", "indptr")
            )
            shape = (len(indptr) - 1, VOCABULARY_SIZE)
            sparse = csr_matrix((data.astype(np.float32), indices.astype(np.int32), indptr), shape)
            parts.append(sparse.toarray())
        x = np.concatenate(parts)
        if self.counts != "raw":
            x = np.log1p(x) if self.counts == "log" else (x > 0).astype(np.float32)
        y = np.concatenate([arrays[f"{name}_{part}_y"] for part in PARTS])
        return Domain(x, y, np.repeat([False, True], [len(part) for part in parts]))
