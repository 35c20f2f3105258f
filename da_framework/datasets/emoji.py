"""The same things in four drawings, from an archive of small images."""

import csv
import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Unpack
from zipfile import ZipFile

import numpy as np
from PIL import Image

from da_framework.core.damage import explain_damage, read_text
from da_framework.core.errors import InputError
from da_framework.core.pictures import open_picture
from da_framework.core.types import Count, External, Irrelevant
from da_framework.datasets.base import PARTS, Array, Dataset, Domain, Roles
from da_framework.datasets.origin import Origin

ARCHIVE, SPLIT = "images_64.zip", "split.csv"


class Emoji(Dataset):
    """Emoji of 15 classes in four drawings: a small set of several domains, free to use.

    The drawings are Noto Color Emoji, Twemoji, Fluent Emoji in three dimensions, and the font Noto
    Emoji in black and white. Half of every class's emoji are the official test part, the same in
    all drawings: no emoji that is trained on is tested in another drawing. Bytes (3, size, size).

    Args:
        data_dir: the folder that holds ``emoji/``, of ``images_64.zip`` and ``split.csv``.
        size: height and width; the archive's images have 64.
        origin: where all of it comes from.
    """

    names = ("fluent", "noto", "outline", "twemoji")
    classes = (
        *("clothing", "device", "face", "food", "hand", "mammal", "other_animal", "paper"),
        *("person", "place", "plant", "play", "sky", "tool", "vehicle"),
    )

    def __init__(
        self,
        *,
        data_dir: Annotated[str, Irrelevant(), External()],
        size: Count,
        origin: Annotated[Origin, Irrelevant()],
        **roles: Unpack[Roles],
    ) -> None:
        super().__init__(**roles)
        self.folder = Path(data_dir).expanduser().absolute() / "emoji"
        self.size = size
        self.origin = origin

    def files(self, name: str) -> Sequence[Path]:
        return (self.folder / ARCHIVE, self.folder / SPLIT)

    def licence(self, name: str) -> str:
        return self.origin.licence

    def fingerprint(self, name: str) -> str:
        self._check_files()
        return super().fingerprint(name)

    def load(self, name: str) -> Domain:
        self._check_files()
        x, y, tested = [], [], []
        file = self.folder / ARCHIVE
        with explain_damage(file, "archive of images"), ZipFile(file) as archive:
            for path in sorted(archive.namelist()):
                if path.partition("/")[0] != name or not path.endswith(".webp"):
                    continue
                place = Path(path)
                kind, emoji = place.parent.name, place.stem
                if (kind, emoji) not in self.parts or kind not in self.classes:
                    raise InputError(f"{file}: {self.folder / SPLIT} does not have {path}")
                x.append(self._read(archive.read(path)))
                y.append(self.classes.index(kind))
                tested.append(self.parts[kind, emoji] == PARTS[1])
        labels = np.array(y, dtype=np.int64)
        return Domain(np.stack(x) if x else np.empty(0, np.uint8), labels, np.array(tested))

    @cached_property
    def parts(self) -> Mapping[tuple[str, str], str]:
        """The part of each emoji, by class and name."""
        file = self.folder / SPLIT
        with explain_damage(file, "table of parts"):
            rows: list[dict[str, Any]] = [*csv.DictReader(io.StringIO(read_text(file, "table")))]
            return {(row["class"], row["name"]): row["part"] for row in rows}

    def _read(self, content: bytes) -> Array:
        image = open_picture(content).convert("RGB")
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling.BOX)
        return np.moveaxis(np.asarray(image), 2, 0)

    def _check_files(self) -> None:
        if lacking := [file.name for file in self.files("") if not file.is_file()]:
            about = f"{len(self.names)} drawings of 1037 emoji in {len(self.classes)} classes"
            raise self.origin.missing(self.folder, lacking, about=about)
