"""Several sources: three instruments teach a fourth.

Two half circles are measured by four instruments, each turned by another angle. Three have
labels; the fourth, turned furthest, has none. Which of the three is nearest to it, nobody knows
beforehand: trained on all of them, a network is nearly as good as with the nearest, and far
better than with the furthest. MDAN keeps a discriminator for each source.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import da_framework


def measure(degrees: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles, seen by an instrument that is turned."""
    points, y = make_moons(400, noise=0.1, random_state=seed)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return (points - points.mean(axis=0)) @ np.array([[cos, sin], [-sin, cos]]), y


sources = {f"turned {angle}°": measure(angle, seed) for seed, angle in enumerate((0, 15, 30))}
x_target, y_target = measure(55, seed=3)

accuracy = {}
for name, method, source in (
    *((f"{name} alone", "source_only", {name: pair}) for name, pair in sources.items()),
    ("all three", "source_only", sources),
    ("all three, MDAN", "mdan", sources),
):
    run = da_framework.fit(
        method=method,
        source=source,  # domains by name
        target=x_target,  # without labels
        network="mlp",
        steps=400,
        evaluate_every=200,
    )
    accuracy[name] = run.evaluate(x_target, y_target)["accuracy"]
    print(f"{name}: {accuracy[name]:.1%} of the target is right")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for color, (name, (points, _)) in zip(
    ("#9ec1e8", "#5f93cf", "#2f5f9e"), sources.items(), strict=True
):
    left.scatter(*points.T, s=3, color=color, label=name)
left.scatter(*x_target.T, s=3, color="#d9722e", label="target, 55°")
left.legend(fontsize=7)
right.barh(list(accuracy), list(accuracy.values()), color=["#9a9a9a"] * 4 + ["#d9722e"])
right.set(xlim=(0, 1), xlabel="accuracy on the target")
right.invert_yaxis()
figure.savefig("several_sources.png", dpi=100)
