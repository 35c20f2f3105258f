"""The image models of timm as backbones."""

from typing import Any, Unpack

from da_framework.core.errors import InputError, one_line
from da_framework.core.huggingface import offline_if_unreachable
from da_framework.networks.network import Network
from da_framework.networks.pretrained import (
    Image,
    PretrainedKeys,
    PretrainedModel,
    check_model_name,
    pretrained_network,
)

FETCHING = ("pretrained", "checkpoint_path", "cache_dir")
"""What ``timm.create_model`` reads or fetches by."""


def timm(
    shape: tuple[int, ...],
    classes: int,
    widths: tuple[int, ...] = (),
    *,
    backbone: str,
    options: dict[str, Any],
    **keys: Unpack[PretrainedKeys],
) -> Network:
    """A model of timm without its last layer, then bottleneck and head.

    Wightman, "PyTorch Image Models", 2019. https://github.com/huggingface/pytorch-image-models

    Args:
        shape: of one image.
        classes: number of logits.
        widths: columns of each domain, where they differ.
        backbone: name of the model, with or without a tag of its weights: ``resnet50.a1_in1k``.
        options: what else ``timm.create_model`` is given: ``{pad_type: same}``.
        keys: what every network of a trained backbone has.
    """

    def make(name: str) -> PretrainedModel:
        return timm_model(name, options)

    return pretrained_network(make, shape, classes, widths, backbone, keys)


def timm_model(name: str, options: dict[str, Any]) -> PretrainedModel:
    """A model of timm by name, which ends in its pooled features."""
    try:
        import timm as library
        from timm.data.config import resolve_model_data_config
    except ImportError:
        raise InputError("network=timm needs timm: pip install 'da_framework[timm]'") from None
    plain, _, tag = name.partition(".")
    check_model_name(plain, library.list_models(), "timm")
    if tag:
        check_model_name(name, library.list_pretrained(f"{plain}.*"), "timm")

    if taken := [key for key in FETCHING if key in options]:
        raise InputError(
            f"network.options.{taken[0]}: where weights come from is said by network.pretrained "
            "and network.weights"
        )

    def create(**more: Any) -> Any:
        try:
            return library.create_model(name, num_classes=0, **options, **more)
        except TypeError as error:
            raise InputError(f"network.options: {one_line(error)}") from None

    module = create()
    settings: Any = resolve_model_data_config(module)  # type: ignore[no-untyped-call]
    size, fixed = settings["input_size"][1:], module.pretrained_cfg
    image = Image(
        size[0], tuple(settings["mean"]), tuple(settings["std"]), settings["interpolation"]
    )

    def fetch() -> None:
        try:
            with offline_if_unreachable():
                module.load_state_dict(create(pretrained=True).state_dict())
        except Exception as error:  # as many types as ways to fetch
            reason = one_line(error, most=300)
            raise InputError(
                f"network.pretrained=true: the weights of {name} are not in the cache of Hugging "
                f"Face and cannot be fetched ({reason}); fetch "
                f"https://huggingface.co/{fixed['hf_hub_id']} elsewhere and name the file: "
                "network.weights=model.safetensors"
            ) from None

    return PretrainedModel(module, fixed["classifier"], image, fetch)
