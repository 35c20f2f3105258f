"""Two moons: the decision boundary follows the target.

The source is two half circles with labels; the target is the same, turned by 35 degrees, and has
no labels. Trained on the source alone, a network keeps the boundary of the source. DANN learns
features that look alike in both domains, and its boundary turns with the target: not with every
seed equally well, which is why results are reported over several.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.animation import FuncAnimation, PillowWriter
from sklearn.datasets import make_moons

import da_framework

# two labelled half circles, and others that are turned
x, y = make_moons(600, noise=0.1, random_state=0)
x_target, y_target = make_moons(600, noise=0.1, random_state=1)
cos, sin = np.cos(np.deg2rad(35)), np.sin(np.deg2rad(35))
x -= x.mean(axis=0)
x_target = (x_target - x_target.mean(axis=0)) @ np.array([[cos, sin], [-sin, cos]])

across, up = np.meshgrid(np.linspace(-2.2, 2.2, 60), np.linspace(-1.9, 1.9, 52))
grid = torch.tensor(np.stack([across.ravel(), up.ravel()], axis=1), dtype=torch.float32)


class Film(pl.Callback):
    """Keeps the probability of the second class over the plane, as training goes on."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *rest: Any) -> None:
        with torch.no_grad():
            _, logits = module.method(grid.to(module.device))
        self.frames.append(logits.softmax(dim=1)[:, 1].reshape(across.shape).cpu().numpy())


films: dict[str, list[Any]] = {}
for method, weight, seed in (
    ("source_only", {}, 1),
    ("dann", {"weight": 3.0}, 1),
    ("dann", {"weight": 3.0}, 2),
    ("dann", {"weight": 3.0}, 3),
):
    film = Film()
    run = da_framework.fit(
        method=method,
        source=(x, y),
        target=x_target,  # without labels
        network="mlp",
        steps=1000,
        inner_steps=25,  # steps between two frames
        evaluate_every=1000,
        seed=seed,
        callbacks=film,
        **weight,
    )
    films.setdefault(method, film.frames)  # the first seed's is shown
    accuracy = run.evaluate(x_target, y_target)["accuracy"]
    print(f"{method}, seed {seed}: {accuracy:.0%} of the target is right")

figure, panels = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")


def draw(frame: int) -> list[Any]:
    """One picture of the film."""
    for panel, (method, frames) in zip(panels, films.items(), strict=True):
        panel.clear()
        panel.contourf(across, up, frames[frame], levels=[0, 0.5, 1], colors=["#fdebdd", "#dde8f5"])
        panel.scatter(*x.T, s=4, color="#9a9a9a", label="source")
        panel.scatter(*x_target.T, s=4, c=np.where(y_target, "#2f5f9e", "#cc5f1a"), label="target")
        panel.set(title=method, xticks=[], yticks=[])
    return []


animation = FuncAnimation(figure, draw, frames=len(films["dann"]))
animation.save("two_moons.gif", PillowWriter(fps=8), dpi=75)
