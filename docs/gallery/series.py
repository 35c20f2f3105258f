"""Time series: the same machine, another sensor.

Four kinds of vibration are recorded by two sensors. The sensor of the source is clean; that of
the target is slower to follow, drifts, and is noisy. The series are generated: two channels of 64
steps.
"""

import matplotlib.pyplot as plt
import numpy as np

import da_framework

random = np.random.default_rng(0)
KINDS = ("even", "rising", "bursts", "saw")


def record(n: int, *, lag: int, drift: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Series of a sensor, (n, 2, 64), and what they are."""
    kind = random.integers(len(KINDS), size=n)
    time = np.linspace(0, 1, 64)
    speed = random.uniform(3, 5, (n, 1))
    phase = 2 * np.pi * (speed * time + random.uniform(size=(n, 1)))
    wave = np.choose(
        kind[:, None],
        [
            np.sin(phase),
            np.sin(phase) * (0.3 + time),
            np.sin(phase) * (np.sin(phase / 4) > 0),
            (phase / np.pi) % 2 - 1,
        ],
    )
    channels = np.stack([wave, np.gradient(wave, axis=1) * 4], axis=1)
    kernel = np.ones(lag) / lag  # a slow sensor shows a running mean
    slow = np.apply_along_axis(lambda row: np.convolve(row, kernel, "same"), 2, channels)
    return slow + drift * time + noise * random.normal(size=slow.shape), kind


x, y = record(400, lag=1, drift=0.0, noise=0.1)
x_target, y_target = record(400, lag=5, drift=0.8, noise=0.3)

accuracy = {}
for method in ("source_only", "adabn", "deep_coral"):
    run = da_framework.fit(
        method=method,
        source=(x, np.array(KINDS)[y]),
        target=x_target,  # without labels
        network="cnn1d",
        network__backbone__channels=[16, 32, 32],
        steps=150,
        evaluate_every=150,
        dataset__scale="source",
    )
    accuracy[method] = run.evaluate(x_target, np.array(KINDS)[y_target])["accuracy"]
    print(f"{method}: {accuracy[method]:.1%} of the target is right")

figure, panels = plt.subplots(2, 4, figsize=(8, 3), sharex=True, sharey=True, layout="constrained")
for column, kind in enumerate(KINDS):
    panels[0, column].plot(x[y == column][0, 0], color="#3b6fb6", linewidth=1)
    panels[1, column].plot(x_target[y_target == column][0, 0], color="#d9722e", linewidth=1)
    panels[0, column].set_title(kind)
panels[0, 0].set_ylabel("source")
panels[1, 0].set_ylabel("target")
text = " · ".join(f"{method} {share:.0%}" for method, share in accuracy.items())
figure.suptitle(f"right on the target: {text}", fontsize=10)
figure.savefig("series.png", dpi=100)
