"""Texts in tables: a row for each sample, one or several columns of text."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Unpack

from da_framework.core.errors import listed
from da_framework.core.types import Count, External, Irrelevant
from da_framework.datasets.base import Dataset, Domain, Roles, SampleReport
from da_framework.datasets.columns import refuse_unknown_columns
from da_framework.datasets.table import Table
from da_framework.datasets.tokenization import HASHED_WORDS, Vocabulary, token_ids, tokenizer_name


class Text(Table):
    """Texts in a table: a file, or a folder with a file for each domain.

    Args:
        root: a file with a column that names the domain, or a folder of ``<domain>.csv``.
        text: the columns of the text, joined in this order.
        label: the column of the classes.
        domain: the column of the domains; of no meaning where the files are the domains.
        tokenizer: makes texts token ids; see ``tokenization.token_ids``.
        vocabulary: of the tokenizer ``words``.
        length: token ids of a text; what is beyond is not read.
        cache: folder where the token ids are kept; ``None``: nowhere.
        separator, encoding: of text files; ``None``: as the file shows.
    """

    kind = "text"

    def __init__(
        self,
        *,
        root: Annotated[str, External()],
        text: list[str],
        label: str,
        domain: str,
        tokenizer: Annotated[str, External(harmless=HASHED_WORDS)],
        vocabulary: Vocabulary,
        length: Count,
        cache: Annotated[str | None, Irrelevant(), External(off=None)],
        separator: str | None,
        encoding: str | None,
        **roles: Unpack[Roles],
    ) -> None:
        self.text = text
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.length = length
        self.cache = cache
        self.tokens = tokenizer_name(tokenizer, vocabulary)
        super().__init__(
            root=root,
            label=label,
            domain=domain,
            drop=[],
            scale="none",
            columns="same",
            categories=[],
            category_encoding="one_hot",
            dates=[],
            missing="error",
            missing_values=None,
            decimal=None,
            separator=separator,
            encoding=encoding,
            **roles,
        )

    def load(self, name: str) -> Domain:
        rows = self._rows(name)
        where = listed(self.files(name))
        refuse_unknown_columns("dataset.text", self.text, [*rows.columns], where)
        x = token_ids(
            join_columns(rows[self.text]),
            tokenizer=self.tokenizer,
            vocabulary=self.vocabulary,
            length=self.length,
            cache=self.cache,
        )
        return Domain(x, self.encode_labels(name))

    def text_columns(self) -> Sequence[str]:
        return self.text

    def inspections(self, name: str) -> Sequence[Callable[[bool], SampleReport]]:
        return Dataset.inspections(self, name)

    def inputs(self, name: str) -> dict[str, Any]:
        return Dataset.inputs(self, name)  # token ids have no columns

    def _check_columns(self) -> None:
        """Other columns than those of the text are not read."""


def join_columns(columns: Any) -> list[str]:
    """Joins the text columns of a frame: a text for each row."""
    parts = columns.astype(object).fillna("").astype(str)
    texts: list[str] = parts.agg(" ".join, axis=1).tolist()
    return texts
