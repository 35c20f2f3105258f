"""Transformers over numbers of words."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.networks.network import Network
from da_framework.networks.text import text

KEYS: dict[str, Any] = {
    "backbone": "words",
    "tokenizer": "words",
    "pretrained": None,
    "vocabulary": 50,
    "width": 8,
    "layers": 2,
    "heads": 2,
    "pool": "mean",
    "backbone_factor": 0.1,
    "bottleneck": [],
    "head": [],
    "dropout": 0.0,
}
X = torch.tensor([[3, 4, 5, 0, 0], [7, 8, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.int32)


def network(**keys: Any) -> Network:
    return text((5,), 3, **(KEYS | keys)).eval()


@pytest.mark.parametrize("pool", ["mean", "first"])
def test_features_are_those_of_the_words_that_are_there(pool: Any) -> None:
    net: Any = network(pool=pool)
    features, logits = net(X)
    assert (features.shape, logits.shape) == ((3, 8), (3, 3))
    assert features.isfinite().all()
    states = net.encoder.backbone.model(X[:1, :3].long()).last_hidden_state[0]
    assert_close(features[0], states.mean(0) if pool == "mean" else states[0])


def test_stages_are_the_embeddings_and_the_layers() -> None:
    net = network(freeze="backbone.model.encoder.layer.0")
    assert net.frozen == ("backbone.model.embeddings", "backbone.model.encoder.layer.0")
    assert not net.backbone_frozen


def test_a_model_in_a_folder_begins_with_its_weights(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=6,
    )
    kept: Any = transformers.BertModel(config)
    kept.eval()
    kept.save_pretrained(tmp_path)
    name = str(tmp_path)
    net: Any = network(backbone=name, tokenizer=name)
    expected = kept(X.long()[1:2, :2]).last_hidden_state[0].mean(0)
    assert_close(net(X)[0][1], expected)
    assert (net.backbone_factor, net.encoder.backbone.tokens) == (0.1, name)
    bare = network(backbone=name, tokenizer=name, pretrained=False)
    assert bare.backbone_factor == 1.0
    assert not torch.equal(bare(X)[0][1], expected)
    with pytest.raises(InputError, match="reads 6 words"):
        text((7,), 3, **(KEYS | {"backbone": name, "tokenizer": name}))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"backbone": "no-such-model"}, "no-such-model is neither in the cache .*=words needs"),
        ({"pretrained": True}, "words has no weights"),
        ({"heads": 3}, "cannot be shared by network.heads=3"),
    ],
)
def test_what_cannot_be_had_is_said(
    keys: Any, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("da_framework.core.huggingface.is_reachable", lambda address: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=message):
        network(**keys)
    with pytest.raises(InputError, match="reads texts, but an input has the shape"):
        text((1, 8, 8), 3, **KEYS)


REVIEWS = {
    0: ["a bad and boring story", "boring, a waste of time", "the worst; it broke"],
    1: ["a great and moving story", "I love it", "works well, great value"],
}


@pytest.mark.slow
def test_texts_are_learnt_and_adapted_to(da: Any) -> None:
    with (da.folder / "reviews.jsonl").open("w") as file:
        for domain in ("books", "tools"):
            for number in range(60):
                label = number % 2
                review = f"{domain} {number} {REVIEWS[label][number // 2 % 3]}"
                row = {"domain": domain, "label": ("bad", "good")[label], "text": review}
                file.write(json.dumps(row) + "\n")
    keys = (
        *("dataset=text", "dataset.root=reviews.jsonl", "dataset.source=[books]"),
        *("dataset.length=12", "dataset.vocabulary=500", "logger=[]", "callback=[]"),
    )
    small = ("network=text", "network.width=16", "network.layers=1", "optimizer=adam")
    ended = da("train", "method=dann", *keys, *small, "steps=60", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert da.record()["target"]["last"]["accuracy"] > 0.9
    assert len(list((da.folder / "cache" / "tokens").glob("*.npy"))) == 2
    assert da("evaluate", "run=run", "+dataset.root=reviews.jsonl").code == 0
    # every wrong pair of data and network
    for wrong, message in (
        (("network=mlp",), "texts need network=text"),
        ((*small, "network.vocabulary=400"), "words of 500, but the network reads those of words"),
        ((*small, "method=vada"), "VADA perturbs its inputs"),
    ):
        refused = da("train", *keys, *wrong, "hydra.run.dir=wrong")
        assert refused.code == 2
        assert message in refused.err
