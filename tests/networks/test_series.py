"""Networks for time series, against their parts run by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool1d, relu
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.networks.cnn1d import CNN1D
from da_framework.networks.domain_norm import convert_domain_batchnorm
from da_framework.networks.recurrent import Recurrent
from da_framework.networks.series import heed_ends

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


# series of unequal length

LENGTHS = [1, 2, 5, 9, 16, 17]


def ragged(steps: int, channels: int = 2, seed: int = 0) -> Any:
    """Series of these lengths, with NaN behind the end of each."""
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randn(len(LENGTHS), channels, max(LENGTHS), generator=generator).double()
    x = torch.full((len(LENGTHS), channels, steps), torch.nan).double()
    for row, length in enumerate(LENGTHS):
        x[row, :, :length] = whole[row, :, :length]
    return x


def readers() -> dict[str, Any]:
    cnn: dict[str, Any] = {"channels": [4, 5, 3], "kernel": 5, "stride": 1, "dropout": 0.0}
    return {
        "cnn1d": CNN1D((2, 17), steps=1, **cnn),
        "stretches": CNN1D((2, 17), steps=3, **cnn),
        "strides": CNN1D((2, 17), steps=2, **(cnn | {"kernel": 4, "stride": 3})),
        "lstm": Recurrent((2, 17), cell="lstm", **READ),
        "gru": Recurrent((2, 17), cell="gru", **READ),
        "both ways": Recurrent((2, 17), cell="lstm", **(READ | {"bidirectional": True})),
        "gru both ways": Recurrent((2, 17), cell="gru", **(READ | {"bidirectional": True})),
    }


@pytest.fixture(params=[*readers()])
def reader(request: Any) -> Any:
    torch.manual_seed(0)
    network = readers()[request.param].double()
    for module in network.modules():  # statistics that do something
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return network


def test_a_padded_series_is_read_as_it_is_without_padding(reader: Any) -> None:
    reader.eval()
    x = ragged(17)
    alone = [reader(row[None, :, :length]) for row, length in zip(x, LENGTHS, strict=True)]
    heed_ends(reader)
    for steps in (17, 18, 40):
        assert_close(reader(ragged(steps)), torch.cat(alone), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_more_padding_changes_nothing(reader: Any, training: bool) -> None:
    heed_ends(reader)
    found = []
    for steps in (17, 31):
        state = {name: value.clone() for name, value in reader.state_dict().items()}
        x = ragged(steps).requires_grad_()
        features = reader.train(training)(x)
        weights = [weight for weight in reader.parameters() if weight.requires_grad]
        gradients = torch.autograd.grad(features.square().sum(), [x, *weights])
        after = {name: value.clone() for name, value in reader.state_dict().items()}
        reader.load_state_dict(state)
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert not gradients[0][:, :, max(LENGTHS) :].any()
        assert not gradients[0][x.isnan()].any()
        found.append((features, gradients[0][:, :, : max(LENGTHS)], gradients[1:], after))
    assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)


def test_series_of_one_length_are_read_as_ever(reader: Any) -> None:
    x = ragged(17)[-1:].expand(4, -1, -1) * torch.arange(1, 5)[:, None, None]
    for mode in (False, True):
        plain = reader.train(mode)(x)
        state = {name: value.clone() for name, value in reader.state_dict().items()}
        heed_ends(reader)
        assert_close(reader(x), plain, rtol=1e-12, atol=1e-12)
        reader.load_state_dict(state)


def test_statistics_are_of_the_steps_there_are() -> None:
    network = readers()["cnn1d"].double().train()
    norm = network.block0[1]
    heed_ends(network)
    x = ragged(30)
    network(x)
    convolved = network.block0[0](x)
    known = convolved.transpose(1, 2)[~convolved[:, 0].isnan()]
    assert_close(norm.running_mean, 0.1 * known.mean(0), rtol=1e-10, atol=1e-12)
    assert_close(norm.running_var, 0.9 + 0.1 * known.var(0), rtol=1e-10, atol=1e-12)


def test_each_domain_has_its_own_statistics_of_padded_series_too() -> None:
    domain = torch.tensor([0, 0, 0, 1, 1, 1])
    found = []
    for steps in (17, 29):
        torch.manual_seed(0)

        class Both(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = readers()["cnn1d"].double()

            def forward(self, x: Any, domain: Any = None) -> Any:
                return self.body(x)

        network = convert_domain_batchnorm(Both(), 2).train()
        heed_ends(network)
        network(ragged(steps), domain)
        found.append({name: value.clone() for name, value in network.state_dict().items()})
    assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)


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


def write_ragged(folder: Path, *, most: int = 24) -> None:
    """Slow and fast waves of 6 to ``most`` steps, the longest of them in the target."""
    generator = np.random.default_rng(0)
    for name, offset in (("left", 0.0), ("right", 0.3)):
        y = np.arange(80) % 2
        wave = np.sin(np.arange(most) * (0.3 + 1.2 * y[:, None]))[:, None]
        x = wave + offset + 0.1 * generator.normal(size=(80, 2, most))
        length = generator.integers(6, most + 1, 80)
        x[np.arange(most)[None, None].repeat(80, 0).repeat(2, 1) >= length[:, None, None]] = np.nan
        x = x.astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x if name == "right" else x[:, :, :20], y=y)
    np.save(folder / "new.npy", x[:9])
    long = np.full((9, 2, 40), np.nan, np.float32)
    long[:, :, :most] = x[:9]
    np.save(folder / "padded.npy", long)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["cnn1d", "recurrent"])
def test_series_of_unequal_length_are_learnt_predicted_and_exported(network: str, da: Any) -> None:
    write_ragged(da.folder)
    data = ("dataset=arrays", "dataset.root=.", "dataset.source=left", "dataset.scale=source")
    ended = da(
        *("train", "method=dann", *data, "dataset.target=right", "dataset.batch_size=32"),
        *(f"network={network}", "optimizer=adam", "optimizer.lr=0.01", "steps=40"),
        *("logger=[]", "callback=[]", "hydra.run.dir=run"),
    )
    assert ended.code == 0, ended.err
    assert da.record()["source"]["last"]["accuracy"] > 0.9
    predicted = []
    for name in ("new", "padded"):
        ended = da("predict", "run=run", f"dataset.root={name}.npy", f"out={name}.csv")
        assert ended.code == 0, ended.err
        predicted.append((da.folder / f"{name}.csv").read_text().replace(f"{name}.npy", ""))
    assert predicted[0] == predicted[1]
    ended = da("export", "run=run", "formats=[pt2]")
    assert ended.code == 0, ended.err
    exported = torch.export.load(da.folder / "run" / "model.pt2").module()
    shares = exported(torch.tensor(np.load(da.folder / "new.npy"))).amax(1)
    lines = predicted[0].splitlines()[1:]
    assert_close(
        shares, torch.tensor([float(line.split(",")[3]) for line in lines]), rtol=1e-4, atol=1e-5
    )
    ended = da("evaluate", "run=run", "trust=['.']")
    assert ended.code == 0, ended.err


def test_a_network_that_does_not_heed_ends_is_refused(da: Any) -> None:
    write_ragged(da.folder)
    data = ("dataset=arrays", "dataset.root=.", "dataset.source=left", "dataset.target=right")
    for network in ("mlp", "identity"):
        ended = da("train", "method=source_only", *data, f"network={network}", "logger=[]")
        assert ended.code == 2
        assert "network=cnn1d and network=recurrent do" in ended.err
        assert "dataset.window" in ended.err
