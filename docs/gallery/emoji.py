"""Emoji: pictures in folders, by a network that knows photographs.

The same things drawn by two companies: Noto (source, with labels) and Twemoji (target, without).
The pictures lie as pictures of your own would, a folder a domain and in it a folder a class; the
network is small and begins with nothing, so that it runs anywhere. The example reads
`data/emoji/images_64.zip`, or where `DA_DATA` points to: any archive of
`<domain>/<class>/<picture>` will do.

The drawings are those of Noto Emoji (Google, Apache-2.0) and of Twemoji (Twitter and
contributors, CC BY 4.0).
"""

import os
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import da_framework

archive = Path(os.environ.get("DA_DATA", "data")) / "emoji" / "images_64.zip"
if not archive.is_file():
    raise SystemExit(f"skipped: there is no {archive.parent.name}/{archive.name}; DA_DATA=FOLDER")
CLASSES = ("face", "vehicle", "plant", "mammal", "paper")


def read(domain: str) -> tuple[np.ndarray, np.ndarray]:
    """Images as bytes, channels first, and the names of their folders."""
    images, labels = [], []
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            place = Path(name).parts
            if len(place) == 3 and place[0] == domain and place[1] in CLASSES:
                with files.open(name) as file, Image.open(file) as image:
                    small = image.convert("RGB").resize((32, 32), Image.Resampling.BOX)
                images.append(np.moveaxis(np.asarray(small), 2, 0))
                labels.append(place[1])
    return np.stack(images), np.array(labels)


x, y = read("noto")
x_target, y_target = read("twemoji")
said = {}
for method in ("source_only", "mcc"):
    run = da_framework.fit(
        method=method,
        source=(x, y),
        target=x_target,  # without labels
        network="convnet",
        steps=300,
        evaluate_every=300,
    )
    said[method] = run.predict(x_target)
    print(f"{method}: {np.mean(said[method] == y_target):.1%} of Twemoji is right")

figure, panels = plt.subplots(4, len(CLASSES), figsize=(6, 5.6), layout="constrained")
for column, kind in enumerate(CLASSES):
    for rows, images, labels in ((panels[:2], x, y), (panels[2:], x_target, y_target)):
        places = np.flatnonzero(labels == kind)
        for panel, place in zip(rows[:, column], places[[5, -5]], strict=True):
            panel.imshow(np.moveaxis(images[place], 0, 2))
            panel.axis("off")
            if images is x_target:
                panel.set_title(said["mcc"][place], fontsize=9)
    panels[0, column].set_title(kind, fontweight="bold")
figure.suptitle("above: Noto, as labelled; below: Twemoji, and what MCC says of it", fontsize=10)
figure.savefig("emoji.png", dpi=100)
