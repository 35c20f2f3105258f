"""Published benchmarks of images, in folders or by official lists: one loader, a YAML each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NotRequired, Unpack

from typing_extensions import TypedDict

from da_framework.core.errors import InputError, listed
from da_framework.core.types import Count, External, Inside, Irrelevant, Positive
from da_framework.datasets.base import Domain, SampleReport
from da_framework.datasets.images import (
    ImageDataset,
    ImageFile,
    ImageKeys,
    find_images,
    find_other_files,
    shorten_list,
)
from da_framework.datasets.origin import Origin


class Lists(TypedDict):
    """Official lists of a domain's images, in the data set's folder: a path and a class a line.

    Attributes:
        train: of the training part; of everything, where there is no test part.
        test: of the official test part.
    """

    train: Inside
    test: NotRequired[Inside]


class Place(TypedDict):
    """Where the images of a domain are.

    Attributes:
        path: its folder within the data set's: of the class folders, or what lists start from.
        images: how many there are.
        lists: where the official files say which.
    """

    path: Inside
    images: Count
    lists: NotRequired[Lists]


class Benchmark(ImageDataset):
    """Images of a published benchmark in ``<data_dir>/<folder>``.

    An image's class is the folder it lies in, or, where that is none, its number in the list.

    Args:
        folder: the data set's own.
        places: where each domain is.
        classes: their names, in the official order.
        origin: where all of it comes from.
        data_dir: the folder that holds the data set's.
        download: fetches what is missing, where that is possible.
        mirrors: addresses of folders that are asked before the official ones.
        timeout: seconds that a server may be silent.
        keys: of every data set of images.
    """

    def __init__(
        self,
        *,
        folder: Inside,
        places: dict[str, Place],
        classes: list[str],
        origin: Annotated[Origin, Irrelevant()],
        data_dir: Annotated[str, Irrelevant(), External()],
        download: Annotated[bool, Irrelevant(), External(off=False)],
        mirrors: Annotated[list[str], Irrelevant(), External(off=[])],
        timeout: Annotated[Positive, Irrelevant()],
        **keys: Unpack[ImageKeys],
    ) -> None:
        self.place = Path(data_dir).expanduser().absolute() / folder
        self.places = places
        self.names = tuple(places)
        self.classes = tuple(classes)
        self.origin = origin
        self.download = download
        self.mirrors = mirrors
        self.timeout = timeout
        self._image_files: dict[str, list[ImageFile]] = {}
        super().__init__(**keys)

    def image_files(self, name: str) -> Sequence[ImageFile]:
        """The images of a domain; none while something of it is missing."""
        if name not in self._image_files:
            if self._lacking(name):
                return ()
            self._image_files[name] = self._read_lists(name) or [
                ImageFile(path, path.parent.name) for path in find_images(self._path(name))
            ]
        return self._image_files[name]

    def fingerprint(self, name: str) -> str:
        self._complete_files(name)
        return super().fingerprint(name)

    def licence(self, name: str) -> str:
        return self.origin.licence

    def load(self, name: str) -> Domain:
        self._complete_files(name)
        return super().load(name)

    def inspections(self, name: str) -> Sequence[Callable[[bool], SampleReport]]:
        self._complete_files(name)
        return super().inspections(name)

    def ignored(self, name: str) -> Sequence[Path]:
        return [] if self._lists(name) else find_other_files(self._path(name), self.files(name))

    def _complete_files(self, name: str) -> None:
        """Sees to it that all domains in use are there, and are the published ones."""
        domains = dict.fromkeys((*self.domains, name))
        incomplete = [domain for domain in domains if self._lacking(domain)]
        if incomplete and self.download and set(incomplete) <= self.origin.files.keys():
            self.origin.fetch(self.place, domains, mirrors=self.mirrors, timeout=self.timeout)
        if lacking := [line for domain in domains for line in self._lacking(domain)]:
            sizes = ", ".join(
                f"{domain} ({place['images']})" for domain, place in self.places.items()
            )
            about = f"{len(self.classes)} classes; images: {sizes}"
            raise self.origin.missing(self.place, lacking, about=about)
        for domain in domains:
            self._check_images(domain)

    def _check_images(self, name: str) -> None:
        images, expected = self.image_files(name), self.places[name]["images"]
        if strange := sorted({str(image.label) for image in images} - set(self.classes)):
            raise InputError(
                f"{self._path(name)} has the classes {listed(strange)}, which are none of "
                f"{listed(self.classes)}"
            )
        if len(images) != expected:
            raise InputError(
                f"{self._path(name)} has {len(images)} images, the published {name} {expected}: "
                "unpack it again; or, if you mean to use them as they are, "
                f"dataset.places.{name}.images={len(images)}"
            )

    def _lacking(self, name: str) -> list[str]:
        """The paths of a domain that are not there."""
        wanted = [self._path(name), *self._lists(name).values()]
        return [str(path) for path in wanted if not path.exists()]

    def _path(self, name: str) -> Path:
        return self.place / self.places[name]["path"]

    def _lists(self, name: str) -> dict[str, Path]:
        return {
            part: self.place / str(file)
            for part, file in self.places[name].get("lists", {}).items()
        }

    def _read_lists(self, name: str) -> list[ImageFile]:
        """The images that a domain's lists name."""
        images, wrong = [], []
        lists = self._lists(name)
        for part, file in lists.items():
            for line in file.read_text(encoding="utf-8").splitlines():
                where, _, number = line.strip().rpartition(" ")
                starts = (self._path(name), self.place)
                path = next((start / where for start in starts if (start / where).is_file()), None)
                if path is None or not number.isdigit():
                    wrong.append(f"{file}: {line}")
                    continue
                label = path.parent.name
                if label not in self.classes and int(number) < len(self.classes):
                    label = self.classes[int(number)]
                images.append(ImageFile(path, label, part == "test" if "test" in lists else None))
        if wrong:
            raise InputError(
                f"{len(wrong)} lines of the lists of {name} name no image that is there; unpack "
                "it again:",
                *shorten_list(wrong),
            )
        return images
