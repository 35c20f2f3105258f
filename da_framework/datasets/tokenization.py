"""Texts as rows of numbers, a number a word; done once and kept."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from zlib import crc32

import numpy as np
from pydantic import Field

from da_framework.core.array_cache import load_or_compute
from da_framework.core.errors import InputError, one_line
from da_framework.core.huggingface import offline_if_unreachable
from da_framework.datasets.base import Array

WORDS = "words"
WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")

Vocabulary = Annotated[int, Field(ge=2)]


def identity(tokenizer: str, vocabulary: int) -> str:
    """Whose numbers they are; ``words`` with another vocabulary has others."""
    return f"{WORDS} of {vocabulary}" if tokenizer == WORDS else tokenizer


def numbers(
    texts: Sequence[str], *, tokenizer: str, vocabulary: int, length: int, cache: str | None
) -> Array:
    """Texts as int32, cut or filled up to one length.

    Args:
        texts: as they are written.
        tokenizer: ``words``: every word and sign by its hash, which needs no file and no training;
            or the name or folder of a model of Hugging Face.
        vocabulary: of ``words``: how many numbers there are; 0 fills up.
        length: of a row.
        cache: folder where they are kept; ``None``: nowhere.

    Raises:
        InputError: there is no such tokenizer, or it cannot be fetched.
    """
    settings = f"{identity(tokenizer, vocabulary)} {length} {len(texts)}"
    digest = hashlib.sha256(settings.encode())
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\0")

    def make() -> Array:
        if tokenizer == WORDS:
            return hashed(texts, vocabulary, length)
        return by_name(texts, tokenizer, length)

    return load_or_compute(
        Path(cache) / "tokens" if cache else None, digest.hexdigest()[:24], len(texts), make
    )


def hashed(texts: Sequence[str], vocabulary: int, length: int) -> Array:
    """Every word, in small letters, and every sign by its hash, from 1.

    Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.
    https://arxiv.org/abs/0902.2206
    """
    rows = np.zeros((len(texts), length), np.int32)
    for row, text in zip(rows, texts, strict=True):
        words = WORD.findall(text.lower())[:length]
        row[: len(words)] = [1 + crc32(word.encode()) % (vocabulary - 1) for word in words]
    return rows


def by_name(texts: Sequence[str], name: str, length: int) -> Array:
    """The numbers of a tokenizer of Hugging Face."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise InputError(
            f"dataset.tokenizer={name} needs transformers: pip install 'da_framework[text]'"
        ) from None
    try:
        with offline_if_unreachable():
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = one_line(error, most=200)
        raise InputError(
            f"dataset.tokenizer={name} is neither in the cache of Hugging Face nor can it be "
            f"fetched, nor is it a folder of a model: {reason}"
        ) from None
    found = tokenizer(list(texts), truncation=True, max_length=length, padding="max_length")
    return np.array(found["input_ids"], np.int32)
