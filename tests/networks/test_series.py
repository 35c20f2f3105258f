"""Networks for time series, against their parts run by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool1d, relu
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.networks.cnn1d import CNN1D
from da_framework.networks.recurrent import Recurrent

ADATIME: dict[str, Any] = {"channels": [64, 128, 128], "kernel": 5, "stride": 1, "dropout": 0.5}
READ: dict[str, Any] = {"width": 6, "layers": 2, "bidirectional": False, "dropout": 0.0}


def test_cnn1d_is_adatime_s() -> None:
    network = CNN1D((9, 128), steps=1, **ADATIME).eval()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv1d)]
    assert [tuple(own.weight.shape) for own in convolutions] == [
        (64, 9, 5),
        (128, 64, 8),
        (128, 128, 8),
    ]
    x = torch.randn(3, 9, 128)
    actual = network(x)
    for layer, norm in zip(
        convolutions, [m for m in network.modules() if isinstance(m, nn.BatchNorm1d)], strict=True
    ):
        x = max_pool1d(relu(norm(layer(x))), 2, stride=2, padding=1)
    assert_close(actual, x.mean(2))
    assert CNN1D((9, 128), steps=3, **ADATIME)(torch.zeros(2, 9, 128)).shape == (2, 384)


def test_a_recurrent_network_s_features_are_its_last_states() -> None:
    x = torch.randn(3, 2, 7)
    for cell in ("lstm", "gru"):
        network: Any = Recurrent((2, 7), cell=cell, **READ)
        states, _ = network.cell(x.transpose(1, 2))
        assert_close(network(x), states[:, -1])
    both: Any = Recurrent((2, 7), cell="lstm", **(READ | {"bidirectional": True}))
    states, _ = both.cell(x.transpose(1, 2))
    assert_close(both(x), torch.cat([states[:, -1, :6], states[:, 0, 6:]], 1))


def test_needs_channels_and_time() -> None:
    with pytest.raises(InputError, match="channels and time"):
        CNN1D((3, 8, 8), steps=1, **ADATIME)
    with pytest.raises(InputError, match="channels and time"):
        Recurrent((4,), cell="gru", **READ)


@pytest.mark.parametrize("network", ["cnn1d", "recurrent"])
def test_series_are_learnt(network: str, da: Any) -> None:
    generator = np.random.default_rng(0)
    for name, offset in (("left", 0.0), ("right", 0.3)):
        y = np.arange(80) % 2
        wave = np.sin(np.arange(24) * (0.3 + 0.7 * y[:, None]))[:, None]
        x = (wave + offset + 0.1 * generator.normal(size=(80, 2, 24))).astype(np.float32)
        np.savez(da.folder / f"{name}.npz", x=x, y=y)
    ended = da(
        *("train", "method=dann", "dataset=arrays", "dataset.root=.", "dataset.source=[left]"),
        *("dataset.batch_size.source=32", "dataset.batch_size.target=32", "steps=20"),
        *(f"network={network}", "optimizer=adam", "optimizer.lr=0.01"),
        *("logger=[]", "callback=[]", "hydra.run.dir=run"),
    )
    assert ended.code == 0, ended.err
    assert da.record()["source"]["last"]["accuracy"] > 0.9
