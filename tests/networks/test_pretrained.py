"""Backbones of torchvision and timm: seen as their authors' were, and loaded by name."""

import logging
import os
from pathlib import Path
from typing import Any
from urllib.error import URLError
from zipfile import ZipFile

import numpy as np
import pytest
import timm as timm_library
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform
from torch import nn
from torch.testing import assert_close
from torchvision import models

from da_framework.core.batch import as_input
from da_framework.core.errors import InputError
from da_framework.datasets.images import crop_middle
from da_framework.networks import pretrained
from da_framework.networks.network import Network, rows_per_pass
from da_framework.networks.pretrained import Preprocess
from da_framework.networks.timm import timm
from da_framework.networks.torchvision import torchvision
from da_framework.networks.weights import read_weights
from da_framework.training.optimizers import sgd

KEYS: dict[str, Any] = {
    "pretrained": False,
    "weights": None,
    "size": 64,
    "mean": None,
    "std": None,
    "backbone_factor": 0.1,
    "bottleneck": [],
    "head": [],
    "dropout": 0.0,
}
DATA = Path(os.environ.get("DA_DATA", "data"))


def of_torchvision(backbone: str = "resnet18", side: int = 64, **keys: Any) -> Network:
    padding: Any = keys.pop("padding", "own")
    given: Any = KEYS | keys
    return torchvision((3, side, side), 5, backbone=backbone, padding=padding, **given)


def of_timm(backbone: str = "resnet18", side: int = 64, **keys: Any) -> Network:
    options = keys.pop("options", {})
    given: Any = KEYS | keys
    return timm((3, side, side), 5, backbone=backbone, options=options, **given)


def backbone(network: Network) -> Any:
    return network.encoder.backbone


def pixels(side: int = 64, rows: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (rows, 3, side, side), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0"])
def test_torchvision_s_are_seen_by_its_own_transform(name: str) -> None:
    preset: Any = models.get_model_weights(name).DEFAULT
    x = pixels(224)
    # cropped from what is of the right size already: what is left is the normalisation
    expected = preset.transforms(resize_size=224)(x)
    actual = backbone(of_torchvision(name, 224, size=None)).preprocess(as_input(x))
    assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_timm_s_are_seen_by_its_own_transform() -> None:
    network = of_timm("vit_tiny_patch16_224", 224, size=None)
    x = pixels(224)
    config: Any = resolve_model_data_config(backbone(network))  # type: ignore[no-untyped-call]
    transform: Any = create_transform(**config | {"crop_pct": 1.0})
    images = [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in x]
    expected = torch.stack([transform(image) for image in images])
    assert_close(backbone(network).preprocess(as_input(x)), expected, rtol=1e-5, atol=1e-5)


def test_what_is_given_goes_before_the_model_s_own() -> None:
    network = of_torchvision(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
    x = as_input(pixels())
    assert_close(backbone(network).preprocess(x), x)


def test_grey_images_of_another_size_are_brought_to_the_model_s() -> None:
    seen = backbone(of_torchvision(size=None)).preprocess(torch.ones(2, 1, 28, 28))
    assert seen.shape == (2, 3, 224, 224)
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert_close(seen, white.view(3, 1, 1).expand_as(seen))


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("make", [of_torchvision, of_timm])
def test_features_under_the_weights_of_a_file_are_the_model_s_own(
    make: Any, ending: str, tmp_path: Path
) -> None:
    plain: Any = (
        models.resnet18() if make is of_torchvision else timm_library.create_model("resnet18")
    )
    file = tmp_path / f"weights{ending}"
    state = plain.eval().state_dict()
    save_file(state, file) if ending == ".safetensors" else torch.save(state, file)
    network = make(weights=str(file)).eval()
    x = as_input(pixels())
    features, _ = network(x)
    assert features.shape == (2, 512)
    assert_close(plain.fc(features), plain(backbone(network).preprocess(x)))


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "encoder.", "module.encoder_q.", "backbone."]
)
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_weights_as_others_save_them(
    prefix: str, wrapper: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = models.resnet18(num_classes=7).state_dict()
    saved = {f"{prefix}{name}": weight for name, weight in state.items()}
    saved |= {f"{prefix}projector.0.weight": torch.zeros(2), "queue": torch.zeros(3)}
    torch.save(saved if wrapper is None else {wrapper: saved, "epoch": 3}, tmp_path / "own.pth")
    with caplog.at_level("INFO"):
        network = of_torchvision(weights=str(tmp_path / "own.pth"))
    given = backbone(network).state_dict()
    assert torch.equal(given["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    assert "left out, since the backbone has none such: " in caplog.text
    assert {"fc", "projector.0", "queue"} <= set(caplog.messages[0].rpartition(": ")[2].split(", "))


@pytest.mark.parametrize("keys", [["net"], ["model", "state_dict"], ["ema", "model"], ["encoder"]])
def test_weights_below_any_keys_are_found(keys: list[str], tmp_path: Path) -> None:
    state = {"module.layer": torch.ones(2), "version": 3, "module.other": torch.zeros(1)}
    tree: Any = state
    for key in reversed(keys):
        moments = {f"m{n}": torch.zeros(1) for n in range(9)}
        tree = {key: tree, "epoch": 3, "optimizer": {"state": {0: moments}}, "optim": moments}
    torch.save(tree, tmp_path / "own.pth")
    assert read_weights(str(tmp_path / "own.pth")).keys() == {"module.layer", "module.other"}


@pytest.mark.parametrize(
    "content",
    [
        *([torch.zeros(2)], torch.zeros(2), {}, {"epoch": 3}, {3: torch.zeros(2)}),
        {"a": {"b": {"c": {"d": {"e": torch.zeros(2)}}}}},
        {"optimizer": {"m": torch.zeros(2)}},
    ],
    ids=str,
)
def test_what_holds_no_weights_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "own.pth")
    with pytest.raises(InputError, match="it holds no state dict: names and their tensors"):
        read_weights(str(tmp_path / "own.pth"))


def test_padding_same_is_tensorflow_s() -> None:
    network = of_torchvision("mobilenet_v2", padding="same").eval()
    exact: Any = timm_library.create_model("mobilenetv2_100", num_classes=0, pad_type="same")
    state = network.encoder.backbone.state_dict()
    exact.load_state_dict(dict(zip(exact.state_dict(), state.values(), strict=True)))
    plain = of_torchvision("mobilenet_v2").eval()
    plain.load_state_dict(network.state_dict())
    x = as_input(pixels())
    expected = exact.eval()(backbone(network).preprocess(x))
    # untrained, its features are of any size
    same, unpadded = ((net(x)[0] - expected).norm() / expected.norm() for net in (network, plain))
    assert same < 1e-4
    assert unpadded > 1e-2


class Payload:
    def __reduce__(self) -> Any:
        return (os.system, ("touch harmed",))


def test_a_file_of_other_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("")
    Path("broken.pth").write_bytes(b"broken")
    Path("broken.safetensors").write_bytes(b"broken")
    torch.save({"a": Payload()}, "payload.pth")
    torch.save([1], "list.pth")
    torch.save(models.resnet18(), "module.pth")
    Path("page.pth").write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    Path("page.safetensors").write_text("\n<html><body>Sign in</body></html>")
    Path("pointer.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    torch.save({"a": 0, "b": {"c": "text"}}, "none.pth")
    torch.save({"a": 0} | models.resnet34().state_dict(), "deeper.pth")
    torch.save(models.resnet34().state_dict(), "deep.pth")
    torch.save(models.shufflenet_v2_x0_5().state_dict(), "other.pth")
    messages = {
        "gone.pth": "gone.pth is not there",
        "text.txt": r"end in \.safetensors",
        "broken.pth": "damaged",
        "broken.safetensors": "damaged",
        "payload.pth": "other things than tensors",
        "list.pth": "no state dict",
        "module.pth": r"it holds torchvision.models.resnet.ResNet.* torch.save\(model",
        "page.pth": "it is a web page",
        "page.safetensors": "it is a web page",
        "pointer.bin": "it is a pointer of Git LFS: git lfs pull",
        "none.pth": "no state dict",
        "deeper.pth": r"layer1\.2\.conv1\.weight \(64, 64, 3, 3\) there, missing here",
        "deep.pth": r"layer1\.2\.conv1\.weight \(64, 64, 3, 3\) there, missing here",
        "other.pth": r"conv1\.0\.weight \(24, 3, 3, 3\) there, missing here.* more",
    }
    for file, message in messages.items():
        with pytest.raises(InputError, match=message) as refused:
            of_torchvision(weights=file)
        assert "weights_only" not in str(refused.value)  # torch's advice to run what is in it
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("make", "keys", "message"),
    [
        (of_torchvision, {"backbone": "resnet5"}, "torchvision has no such model; .*resnet50"),
        (of_timm, {"backbone": "resnt50"}, "timm has no such model; .*resnet50"),
        (of_timm, {"backbone": "resnet50.a1_in2k"}, r"no such model; .*resnet50\.a1_in1k"),
        (of_timm, {"options": {"pad": 1}}, "network.options: .*pad"),
        (of_timm, {"options": {"pretrained": True}}, "network.options.pretrained: where weights"),
        (of_timm, {"options": {"checkpoint_path": "/x"}}, "network.options.checkpoint_path: "),
        (of_torchvision, {"backbone": "squeezenet1_0"}, "no fully connected layer"),
        (of_torchvision, {"backbone": "googlenet"}, "several outputs"),
        (of_timm, {"backbone": "vit_tiny_patch16_224"}, "images of 64 x 64"),
        (of_torchvision, {"weights": "a.pth", "pretrained": True}, "one of the two"),
    ],
)
@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
def test_what_cannot_be_had_is_said(make: Any, keys: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**keys)


def test_no_images_no_image_model() -> None:
    with pytest.raises(InputError, match="needs images of 1 or 3 channels"):
        torchvision((7,), 5, backbone="resnet18", padding="own", **KEYS)


def test_weights_that_cannot_be_fetched_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise URLError("no such host")

    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    message = (
        "cannot be fetched .*no such host.* put it at .*resnet18-f37072fd.pth.*network.weights="
    )
    with caplog.at_level(logging.INFO), pytest.raises(InputError, match=message):
        of_torchvision(pretrained=True)
    assert "fetching https://download.pytorch.org/models/resnet18" in caplog.text
    monkeypatch.setattr("da_framework.core.huggingface.is_reachable", lambda address: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"timm/resnet18\.a1_in1k elsewhere and name the file"):
        of_timm(pretrained=True)


def test_pretrained_begins_with_the_library_s_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = models.resnet18()
    monkeypatch.setattr(
        models.ResNet18_Weights, "get_state_dict", lambda *_, **__: plain.state_dict()
    )
    network = of_torchvision(pretrained=True)
    assert torch.equal(backbone(network).conv1.weight, plain.conv1.weight)
    assert network.backbone_factor == 0.1
    assert of_torchvision().backbone_factor == 1.0


class Holder(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network


def test_a_backbone_with_weights_learns_at_a_tenth_unless_the_optimizer_says_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = Holder(of_torchvision(bottleneck=[4]))
    method.network.backbone_factor = 0.1
    keys: Any = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False}
    factors: tuple[dict[str, float] | None, ...] = (
        None,
        {"network.encoder.backbone": 0.5, "network.encoder.backbone.conv1": 0.25},
    )
    for factor, (first, body) in zip(factors, ((0.1, 0.1), (0.25, 0.5)), strict=True):
        built = sgd(factor=factor, **keys).build(method, "model", [method])
        names = {parameter: name for name, parameter in method.named_parameters()}
        rates = {names[p]: g["initial_lr"] for g in built.param_groups for p in g["params"]}
        assert rates["network.encoder.backbone.conv1.weight"] == first
        assert rates["network.encoder.backbone.layer1.0.conv1.weight"] == body
        assert rates["network.encoder.bottleneck.0.weight"] == 1.0
        assert rates["network.head.0.weight"] == 1.0


def test_freezes_up_to_a_stage_by_its_name() -> None:
    network = of_torchvision(freeze="backbone.layer2", bottleneck=[4])
    learning = {name for name, own in network.named_parameters() if own.requires_grad}
    first = [name.split(".")[2] for name in learning if name.startswith("encoder.backbone")]
    assert set(first) == {"layer3", "layer4"}
    body = backbone(network.train())
    assert [body.bn1.training, body.layer2[1].bn1.training] == [False, False]
    assert body.layer3[0].bn1.training
    assert not network.backbone_frozen
    assert of_torchvision("mobilenet_v2", freeze="backbone").backbone_frozen
    assert "backbone.features.18" in of_torchvision("mobilenet_v2").stages()


def test_what_is_in_no_stage_freezes_with_the_first() -> None:
    network = of_timm("vit_tiny_patch16_224", 224, size=224, bottleneck=[4])
    assert "backbone.blocks.11" in network.stages()
    token = backbone(network).cls_token
    network.freeze(("bottleneck.0",))
    assert token.requires_grad
    network.freeze(("backbone.patch_embed",))
    assert not token.requires_grad


@pytest.fixture
def office() -> tuple[Any, dict[str, Any]]:
    files = (
        DATA / "office_caltech10" / "images_256.zip",
        DATA / "office_caltech10" / "mobilenet_v2_1280.npz",
        DATA / "mobilenet_v2_imagenet" / "mobilenet_v2_fp16.pth",
    )
    if not all(file.is_file() for file in files):
        pytest.skip("DA_DATA has no images of office_caltech10, or no weights for them")
    with np.load(files[1]) as held:
        recorded = {key: held[key] for key in ("dslr_X", "dslr_y", "dslr_file")}
    network = of_torchvision(
        "mobilenet_v2",
        224,
        weights=str(files[2]),
        padding="same",
        size=None,
        mean=[127 / 255] * 3,
        std=[0.5] * 3,
    )
    return network.eval(), {"archive": files[0], "weights": files[2], **recorded}


def test_real_weights_give_the_features_of_timm_s_exact_twin(office: Any) -> None:
    network, held = office
    rows = range(0, 157, 26)
    with ZipFile(held["archive"]) as archive:
        files = [archive.read(str(held["dslr_file"][row])) for row in rows]
    images = np.stack([crop_middle(file, 224, 3, crop=0.875) for file in files])
    x = torch.as_tensor(images)
    exact: Any = timm_library.create_model("mobilenetv2_100", pad_type="same")
    state = torch.load(held["weights"], weights_only=True)
    exact.load_state_dict(dict(zip(exact.state_dict(), state.values(), strict=True)))
    exact.reset_classifier(0)
    with torch.no_grad():
        actual = network(as_input(x))[0]
        expected = exact.eval()((x.float() - 127) / 127.5)
    assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    # the recorded rows are of the pictures before they were made smaller and encoded once more
    recorded = torch.as_tensor(held["dslr_X"]).float()
    assert torch.cdist(actual, recorded).argmin(1).tolist() == list(rows)


def test_fewer_images_are_passed_at_once_the_larger_they_are_made() -> None:
    half = (0.5, 0.5, 0.5)
    small, large = (Preprocess(pretrained.Image(n, half, half, "bilinear")) for n in (8, 224))
    assert rows_per_pass(nn.Sequential(nn.Identity()), (9000, 3, 64, 64), 512) == 512
    assert rows_per_pass(nn.Sequential(small), (9000, 3, 64, 64), 512) == 512
    assert rows_per_pass(nn.Sequential(large), (9000, 3, 64, 64), 512) == 2**24 // (3 * 224**2)
    assert rows_per_pass(nn.Sequential(small), (9, 3, 9000, 9000), 512) == 1
