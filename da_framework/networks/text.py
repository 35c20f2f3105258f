"""Transformers that read texts, as rows of token ids."""

from typing import Annotated, Any, Literal, Unpack

from jaxtyping import Float, Num
from torch import Tensor, nn

from da_framework.core.errors import InputError, one_line
from da_framework.core.huggingface import offline_if_unreachable
from da_framework.core.room import require_memory
from da_framework.core.types import Count, External, NonNegative
from da_framework.networks.network import Network, NetworkKeys

UNTRAINED = "words"
"""The backbone without a name: BERT's structure of any size, with random weights."""


class Reader(nn.Module):
    """A transformer encoder over token ids; its features are the state of one token, or their mean.

    Args:
        model: puts out a state for each token.
        tokens: the tokenizer whose ids it reads.
        pool: ``mean`` of the tokens' states, or that of the ``first``.
    """

    def __init__(self, model: Any, *, tokens: str, pool: Literal["mean", "first"]) -> None:
        super().__init__()
        self.model = model
        self.tokens = tokens
        self.pool = pool
        self.padding = int(model.config.pad_token_id or 0)

    def forward(self, x: Num[Tensor, "rows tokens"]) -> Float[Tensor, "rows d"]:
        """The features of texts."""
        token_ids = x.long()
        is_token = token_ids != self.padding
        is_token[:, 0] = True  # a text without a word is one of padding
        states: Tensor = self.model(token_ids, is_token.long()).last_hidden_state
        if self.pool == "first":
            return states[:, 0]
        weights = is_token.to(states).unsqueeze(2)
        return (states * weights).sum(1) / weights.sum(1)

    def extra_repr(self) -> str:
        return f"tokens={self.tokens}, pool={self.pool}, padding={self.padding}"


def text(
    shape: tuple[int, ...],
    classes: int,
    widths: tuple[int, ...] = (),
    *,
    backbone: Annotated[str, External(harmless=UNTRAINED)],
    tokenizer: str,
    pretrained: Annotated[bool | None, External(off=False)],
    vocabulary: Count,
    width: Count,
    layers: Count,
    heads: Count,
    pool: Literal["mean", "first"],
    backbone_factor: NonNegative,
    **keys: Unpack[NetworkKeys],
) -> Network:
    """A transformer over token ids, then bottleneck and head.

    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", NAACL 2019. https://arxiv.org/abs/1810.04805

    Args:
        shape: of one text: tokens.
        classes: number of logits.
        widths: columns of each domain, where they differ.
        backbone: ``words``: BERT's structure of the size given here, untrained; or a model of
            Hugging Face, by its name or its folder.
        tokenizer: whose token ids it reads, as ``dataset.tokenizer``.
        pretrained: whether a named model begins with its weights; ``None``: if it has a name.
        vocabulary: of ``words``.
        width: of ``words``: of a token's state; four times as much inside.
        layers: of ``words``.
        heads: of ``words``: of attention.
        pool: the mean of all tokens' states, or the first's.
        backbone_factor: learning-rate factor of a backbone that begins with weights.
        keys: those that every network has.

    Raises:
        InputError: the inputs are no texts, or the model is not to be had.
    """
    if len(shape) != 1:
        raise InputError(f"network=text reads texts, but an input has the shape {shape}")
    named = backbone != UNTRAINED
    if pretrained and not named:
        raise InputError(f"network.pretrained=true: {UNTRAINED} has no weights; a named model has")
    if not named and width % heads:
        raise InputError(f"network.width={width} cannot be shared by network.heads={heads}")

    def body(_: tuple[int, ...]) -> nn.Module:
        if named:
            model = load_pretrained(backbone, trained=pretrained is not False)
        else:
            require_memory(
                16 * vocabulary * width,  # of four bytes: weight, gradient, and two moments
                f"an embedding of {vocabulary} token ids in {width} numbers",
                mend="network.vocabulary and network.width make it smaller",
            )
            model = build_bert(
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
        tokens = tokenizer if tokenizer != UNTRAINED else f"{UNTRAINED} of {vocabulary}"
        return Reader(model, tokens=tokens, pool=pool)

    network = Network(shape, classes, widths, backbone=body, **keys)
    if named and pretrained is not False:
        network.backbone_factor = backbone_factor
    return network


def build_bert(**keys: int) -> Any:
    """BERT's encoder of any size, with no weights but random ones."""
    library = import_transformers(UNTRAINED)
    return library.BertModel(library.BertConfig(**keys), add_pooling_layer=False)


def load_pretrained(name: str, *, trained: bool) -> Any:
    """A model of Hugging Face, from its cache, a folder, or the network."""
    library = import_transformers(name)
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
            f"fetched, nor is it a folder of a model: {reason}; network.backbone={UNTRAINED} needs "
            "none"
        ) from None
    model.pooler = None  # a layer more, which learns of nothing here
    return model.float()


def import_transformers(name: str) -> Any:
    """The transformers library.

    Raises:
        InputError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise InputError(
            f"network.backbone={name} needs transformers: pip install 'da_framework[text]'"
        ) from None
    library: Any = transformers
    library.utils.logging.disable_progress_bar()
    return library
