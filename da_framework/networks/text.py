"""Transformers that read texts, as rows of numbers of words."""

from typing import Any, Literal, Unpack

from jaxtyping import Float, Num
from torch import Tensor, nn

from da_framework.core.errors import InputError, one_line
from da_framework.core.huggingface import offline_if_unreachable
from da_framework.core.types import Count, NonNegative
from da_framework.networks.network import Keys, Network

WORDS = "words"


class Reader(nn.Module):
    """An encoder of the transformers library over numbers of words; its features are one row.

    Args:
        model: puts out a row for each word.
        tokens: whose numbers of words it reads.
        pool: ``mean`` of the words' rows, or that of the ``first``.
    """

    def __init__(self, model: Any, *, tokens: str, pool: Literal["mean", "first"]) -> None:
        super().__init__()
        self.model = model
        self.tokens = tokens
        self.pool = pool
        self.padding = int(model.config.pad_token_id or 0)

    def forward(self, x: Num[Tensor, "rows words"]) -> Float[Tensor, "rows d"]:
        """The features of texts."""
        numbers = x.long()
        there = numbers != self.padding
        there[:, 0] = True  # a text without a word is one of padding
        words: Tensor = self.model(numbers, there.long()).last_hidden_state
        if self.pool == "first":
            return words[:, 0]
        weights = there.to(words).unsqueeze(2)
        return (words * weights).sum(1) / weights.sum(1)

    def extra_repr(self) -> str:
        return f"tokens={self.tokens}, pool={self.pool}, padding={self.padding}"


def text(
    shape: tuple[int, ...],
    classes: int,
    widths: tuple[int, ...] = (),
    *,
    backbone: str,
    tokenizer: str,
    pretrained: bool | None,
    vocabulary: Count,
    width: Count,
    layers: Count,
    heads: Count,
    pool: Literal["mean", "first"],
    backbone_factor: NonNegative,
    **keys: Unpack[Keys],
) -> Network:
    """A transformer over words, then bottleneck and head.

    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", NAACL 2019. https://arxiv.org/abs/1810.04805

    Args:
        shape: of one text: words.
        classes: number of logits.
        widths: columns of each domain, where they differ.
        backbone: ``words``: BERT's structure of the size given here, untrained; or a model of
            Hugging Face, by its name or its folder.
        tokenizer: whose numbers of words it reads, as ``dataset.tokenizer``.
        pretrained: whether a named model begins with its weights; ``None``: if it has a name.
        vocabulary: of ``words``.
        width: of ``words``: of the row of a word; four times as much inside.
        layers: of ``words``.
        heads: of ``words``: of attention.
        pool: the mean of all words' rows, or the first's.
        backbone_factor: learning-rate factor of a backbone that begins with weights.
        keys: what every network has.

    Raises:
        InputError: the inputs are no texts, or the model is not to be had.
    """
    if len(shape) != 1:
        raise InputError(f"network=text reads texts, but an input has the shape {shape}")
    named = backbone != WORDS
    if pretrained and not named:
        raise InputError(f"network.pretrained=true: {WORDS} has no weights; a named model has")
    if not named and width % heads:
        raise InputError(f"network.width={width} cannot be shared by network.heads={heads}")

    def body(_: tuple[int, ...]) -> nn.Module:
        if named:
            model = by_name(backbone, trained=pretrained is not False)
        else:
            model = built(
                vocab_size=vocabulary,
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                max_position_embeddings=shape[0],
            )
        longest = getattr(model.config, "max_position_embeddings", shape[0])
        if shape[0] > longest:
            raise InputError(f"network.backbone={backbone} reads {longest} words: dataset.length")
        known = tokenizer if tokenizer != WORDS else f"{WORDS} of {vocabulary}"
        return Reader(model, tokens=known, pool=pool)

    network = Network(shape, classes, widths, backbone=body, **keys)
    if named and pretrained is not False:
        network.backbone_factor = backbone_factor
    return network


def built(**keys: int) -> Any:
    """BERT's encoder of any size, with no weights but random ones."""
    library = loaded(WORDS)
    return library.BertModel(library.BertConfig(**keys), add_pooling_layer=False)


def by_name(name: str, *, trained: bool) -> Any:
    """A model of Hugging Face, from its cache, a folder, or the network."""
    library = loaded(name)
    try:
        with offline_if_unreachable():
            if trained:
                model = library.AutoModel.from_pretrained(name, trust_remote_code=False)
            else:
                config = library.AutoConfig.from_pretrained(name, trust_remote_code=False)
                model = library.AutoModel.from_config(config, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = one_line(error, most=200)
        raise InputError(
            f"network.backbone={name} is neither in the cache of Hugging Face nor can it be "
            f"fetched, nor is it a folder of a model: {reason}; network.backbone={WORDS} needs none"
        ) from None
    model.pooler = None  # a layer more, which learns of nothing here
    return model.float()


def loaded(name: str) -> Any:
    """The library, if it is there."""
    try:
        import transformers
    except ImportError:
        raise InputError(
            f"network.backbone={name} needs transformers: pip install 'da_framework[text]'"
        ) from None
    library: Any = transformers
    library.utils.logging.disable_progress_bar()
    return library
