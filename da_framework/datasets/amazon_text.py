"""Amazon Reviews: their sentiment, in four departments, as texts."""

import gzip
import json
from typing import Annotated, ClassVar, Unpack

import numpy as np

from da_framework.core.types import Count, External, Irrelevant
from da_framework.datasets.base import Domain, Roles
from da_framework.datasets.published import Published, PublishedFile
from da_framework.datasets.tokenization import HASHED_WORDS, Vocabulary, token_ids, tokenizer_name


class AmazonText(Published):
    """The 2000 labelled reviews of books, DVDs, electronics and kitchen tools, as texts.

    Blitzer, Dredze, Pereira, "Biographies, Bollywood, Boom-boxes and Blenders", ACL 2007.

    Args:
        tokenizer: makes texts token ids; see ``tokenization.token_ids``.
        vocabulary: of the tokenizer ``words``.
        length: token ids of a review, its title first; what is beyond is not read.
        cache: folder where the token ids are kept; ``None``: nowhere.
        data_dir: the folder that holds ``amazon_reviews/``.
    """

    classes = ("negative", "positive")
    names = ("books", "dvd", "electronics", "kitchen")
    folder = "amazon_reviews"
    origins: ClassVar = {
        "labelled_text.jsonl.gz": PublishedFile(
            2521188,
            "e45679cec1f2b2c30d0dc4bb4824800cef56d6c3887e08ddf07543d091129e27",
            "the labelled reviews of https://github.com/bzantium/bert-AAD",
        )
    }

    def __init__(
        self,
        *,
        tokenizer: Annotated[str, External(harmless=HASHED_WORDS)],
        vocabulary: Vocabulary,
        length: Count,
        cache: Annotated[str | None, Irrelevant(), External(off=None)],
        data_dir: Annotated[str, Irrelevant(), External()],
        **roles: Unpack[Roles],
    ) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.length = length
        self.cache = cache
        self.tokens = tokenizer_name(tokenizer, vocabulary)
        super().__init__(data_dir=data_dir, **roles)

    def file(self, name: str) -> str:
        return "labelled_text.jsonl.gz"

    def licence(self, name: str) -> str:
        return "none stated; used for research"

    def load(self, name: str) -> Domain:
        with gzip.open(self.verify_file(name), "rt", encoding="utf-8") as file:
            rows = [row for line in file if (row := json.loads(line))["domain"] == name]
        x = token_ids(
            [f"{row['title']} {row['text']}" for row in rows],
            tokenizer=self.tokenizer,
            vocabulary=self.vocabulary,
            length=self.length,
            cache=self.cache,
        )
        return Domain(x, np.array([row["label"] for row in rows]))
