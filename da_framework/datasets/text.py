"""Texts: a row of a table a sample, with a column or several of text."""

from typing import Annotated, Any, Unpack

from da_framework.core.types import Count, Irrelevant
from da_framework.datasets.base import Dataset, Domain, Roles
from da_framework.datasets.table import Table
from da_framework.datasets.tokenization import Vocabulary, identity, numbers


class Text(Table):
    """Texts in a CSV, JSONL or Parquet file, or in a file a domain in a folder.

    Args:
        root: a file with a column that names the domain, or a folder of ``<domain>.csv``.
        text: the columns of the text, joined in this order.
        label: the column of the classes.
        domain: the column of the domains; of no meaning where the files are the domains.
        tokenizer: makes words numbers; see ``tokens.numbers``.
        vocabulary: of the tokenizer ``words``.
        length: words of a text; what is beyond is not read.
        cache: folder where the numbers are kept; ``None``: nowhere.
    """

    def __init__(
        self,
        *,
        root: str,
        text: list[str],
        label: str,
        domain: str,
        tokenizer: str,
        vocabulary: Vocabulary,
        length: Count,
        cache: Annotated[str | None, Irrelevant()],
        **roles: Unpack[Roles],
    ) -> None:
        self.text = text
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.length = length
        self.cache = cache
        self.tokens = identity(tokenizer, vocabulary)
        super().__init__(root=root, label=label, domain=domain, drop=[], standardize=False, **roles)

    def load(self, name: str) -> Domain:
        rows = self._rows(name)
        for column in self.text:
            self._column(self.files(name)[0], column)
        x = numbers(
            joined(rows[self.text]),
            tokenizer=self.tokenizer,
            vocabulary=self.vocabulary,
            length=self.length,
            cache=self.cache,
        )
        return Domain(x, self.labels(rows[self.label].astype(str).to_numpy()))

    def inputs(self, name: str) -> dict[str, Any]:
        return Dataset.inputs(self, name)  # words have no columns


def joined(columns: Any) -> list[str]:
    """The texts of a frame's columns, a line a row."""
    parts = columns.astype(object).fillna("").astype(str)
    texts: list[str] = parts.agg(" ".join, axis=1).tolist()
    return texts
