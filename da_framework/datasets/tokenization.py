"""Texts as token ids; tokenized once and kept."""

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
from da_framework.core.room import require_memory
from da_framework.datasets.base import Array

HASHED_WORDS = "words"
"""The tokenizer that needs no file: every word's id is its hash."""
WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")

Vocabulary = Annotated[int, Field(ge=2, le=2**31)]
"""How many token ids there are, which are numbers of 32 bits."""


def tokenizer_name(tokenizer: str, vocabulary: int) -> str:
    """A tokenizer by all that decides its ids: ``words`` with another vocabulary is another."""
    return f"{HASHED_WORDS} of {vocabulary}" if tokenizer == HASHED_WORDS else tokenizer


def token_ids(
    texts: Sequence[str], *, tokenizer: str, vocabulary: int, length: int, cache: str | None
) -> Array:
    """Texts as int32 token ids (n, length), cut or filled up to one length.

    Args:
        texts: as they are written.
        tokenizer: ``words``: every word and sign by its hash, which needs no file and no training;
            or the name or folder of a model of Hugging Face.
        vocabulary: of ``words``: how many token ids there are; 0 fills up.
        length: token ids of a text.
        cache: folder where they are kept; ``None``: nowhere.

    Raises:
        InputError: there is no such tokenizer, or it cannot be fetched.
    """
    what = f"{len(texts)} texts of {length} token ids"
    require_memory(4 * len(texts) * length, what, mend="dataset.length is the length of a text")
    settings = f"{tokenizer_name(tokenizer, vocabulary)} {length} {len(texts)}"
    digest = hashlib.sha256(settings.encode())
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\0")

    def tokenize() -> Array:
        if tokenizer == HASHED_WORDS:
            return hash_words(texts, vocabulary, length)
        return run_tokenizer(texts, tokenizer, length)

    return load_or_compute(
        Path(cache) / "tokens" if cache else None, digest.hexdigest()[:24], len(texts), tokenize
    )


def hash_words(texts: Sequence[str], vocabulary: int, length: int) -> Array:
    """Token ids by feature hashing: of every word, in small letters, and every sign, from 1.

    Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.
    https://arxiv.org/abs/0902.2206
    """
    ids = np.zeros((len(texts), length), np.int32)
    for row, text in zip(ids, texts, strict=True):
        tokens = WORD.findall(text.lower())[:length]
        row[: len(tokens)] = [1 + crc32(token.encode()) % (vocabulary - 1) for token in tokens]
    return ids


def run_tokenizer(texts: Sequence[str], name: str, length: int) -> Array:
    """Token ids by a tokenizer of Hugging Face.

    Raises:
        InputError: there is no such tokenizer, or it cannot be fetched.
    """
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
    encoded = tokenizer(list(texts), truncation=True, max_length=length, padding="max_length")
    return np.array(encoded["input_ids"], np.int32)
