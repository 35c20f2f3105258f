"""Office-Caltech10: ten objects in four kinds of photographs, as ready features."""

from typing import Annotated, ClassVar, Literal, Unpack

import numpy as np

from da_framework.core.errors import InputError, listed
from da_framework.core.types import External, Irrelevant
from da_framework.datasets.base import Domain, Roles
from da_framework.datasets.published import Published, PublishedFile

FEATURES = {
    "surf": "surf.npz",
    "decaf6": "decaf6_dslr_webcam.npz",
    "googlenet": "googlenet1024_amazon_dslr_webcam.npz",
    "mobilenet_v2": "mobilenet_v2_1280.npz",
}

CLASSES = (
    "backpack",
    "bike",
    "calculator",
    "headphones",
    "keyboard",
    "laptop",
    "monitor",
    "mouse",
    "mug",
    "projector",
)
DOMAINS = ("amazon", "caltech10", "dslr", "webcam")
LICENCE = "none stated; Office-31 and Caltech-256 are distributed for research"

Features = Literal["surf", "decaf6", "googlenet", "mobilenet_v2"]
Scale = Literal["zscore", "standardize", "l2", "none"]


class OfficeCaltech10(Published):
    """Amazon, Caltech-256, DSLR and webcam images of the ten classes that all four have.

    Features ready made: ``surf`` (800 counts of visual words), ``mobilenet_v2`` (1280, pooled),
    ``googlenet`` (1024; not of caltech10), ``decaf6`` (4096; of dslr and webcam alone).
    Each domain may have its own: ``dataset.features={dslr: surf, webcam: decaf6}``.

    - Saenko et al., "Adapting Visual Category Models to New Domains", ECCV 2010.
    - Gong et al., "Geodesic Flow Kernel for Unsupervised Domain Adaptation", CVPR 2012.

    Args:
        features: which; or by domain.
        normalize: ``zscore``: samples divided by their sum, then every column of a domain brought
            to mean 0 and deviation 1, as is usual for SURF; ``standardize``: the columns alone;
            ``l2``: samples of length √d, so that networks see numbers of about 1; ``none``; or by
            domain.
        data_dir: the folder that holds ``office_caltech10/``.
    """

    classes = CLASSES
    names = DOMAINS
    folder = "office_caltech10"
    origins: ClassVar = {
        FEATURES["surf"]: PublishedFile(
            302779,
            "cc7412b35dbbc9b95dd77d4c7956429d28947fbca0dbf84ebf59025b45ecaa6f",
            "SURF counts of https://github.com/LeoGautheron/OfficeCaltechDomainAdaptation",
        ),
        FEATURES["decaf6"]: PublishedFile(
            846244,
            "bbce2fc9e26c46253a5d9a161c23f72678d7103cd19b965205739e26a48921ec",
            "DeCAF6 of https://github.com/jindongwang/transferlearning",
        ),
        FEATURES["googlenet"]: PublishedFile(
            2270502,
            "bcfa27b45a50524f1668c985363981d642f27601c707566ff24fc0186885595b",
            "GoogLeNet of https://github.com/LeoGautheron/OfficeCaltechDomainAdaptation",
        ),
        FEATURES["mobilenet_v2"]: PublishedFile(
            4644194,
            "6222d937a6a0c8d35c51edeef5a7eef32f4f488fccdb5414d81333c523249808",
            "MobileNetV2 of the images of the same four domains",
        ),
    }

    def __init__(
        self,
        *,
        features: Features | dict[str, Features],
        normalize: Scale | dict[str, Scale],
        data_dir: Annotated[str, Irrelevant(), External()],
        **roles: Unpack[Roles],
    ) -> None:
        self.features = features
        self.normalize = normalize
        super().__init__(data_dir=data_dir, **roles)

    def file(self, name: str) -> str:
        return FEATURES[self._value_for("features", name)]

    def licence(self, name: str) -> str:
        return LICENCE

    def load(self, name: str) -> Domain:
        arrays = self.load_arrays(name)
        features, normalize = self._value_for("features", name), self._value_for("normalize", name)
        if f"{name}_X" not in arrays:
            there = [domain for domain in self.names if f"{domain}_X" in arrays]
            raise InputError(
                f"dataset.features={features} is of {listed(there)} alone, not of {name}"
            )
        x = arrays[f"{name}_X"].astype(np.float64)
        if normalize == "zscore":
            x = x / np.maximum(x.sum(1, keepdims=True), 1e-12)
        if normalize in ("zscore", "standardize"):
            x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-12)
        elif normalize == "l2":
            x = x * (
                x.shape[1] ** 0.5 / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
            )
        return Domain(
            x.astype(np.float32),
            arrays[f"{name}_y"],
            classes=tuple(map(str, arrays["class_names"])),
        )

    def _value_for(self, key: str, name: str) -> str:
        """The value of a key for a domain."""
        given: str | dict[str, str] = getattr(self, key)
        if isinstance(given, str):
            return given
        if name not in given:
            raise InputError(f"dataset.{key} is of {listed(given)}, but says nothing of {name}")
        return given[name]
