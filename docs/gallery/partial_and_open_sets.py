"""Partial and open sets: the target has fewer classes, or others.

A partial target has only some of the classes of the source: here MNIST has all ten digits, USPS
only 0 to 4. Who aligns all of them draws USPS into digits that it does not have; PADA gives
little weight to source classes for which hardly any target sample is taken. An open target has
classes that nobody has labelled: OSBP has one more answer, "unknown". Its example is four groups
of points in the plane and a fifth, new one.
"""

import matplotlib.pyplot as plt
import numpy as np

import da_framework

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")

# partial: digits that come with the package
digits = da_framework.build(da_framework.compose("dataset=digits")).dataset
mnist, usps = digits["mnist"], digits["usps"]
few = usps.y < 5
for place, method in enumerate(("source_only", "dann", "pada")):
    run = da_framework.fit(
        method=method,
        source=(mnist.x, mnist.y),
        target=usps.x[few],  # without labels
        network="convnet",
        steps=500,
        evaluate_every=50,  # and PADA's weights are made anew
    )
    accuracy = run.evaluate(usps.x[few], usps.y[few])["accuracy"]
    print(f"partial, {method}: {accuracy:.1%} is right")
    left.bar(place, accuracy, color="#d9722e" if method == "pada" else "#9a9a9a")
    left.text(place, accuracy, f"{accuracy:.0%}", ha="center", va="bottom")
left.set_xticks(range(3), ["source_only", "dann", "pada"])
left.set(title="partial: USPS has 0 to 4 alone", ylim=(0, 1.1), ylabel="accuracy on the target")

# open: points around five centres; the source has four of them
random = np.random.default_rng(0)
CENTRES = {"a": (-3, 0), "b": (0, 3), "c": (3, 0), "d": (0, -3), "new": (4.5, 4.5)}


def draw(names: list[str], move: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Points of each of the classes."""
    y = np.repeat(names, 180)
    return np.array([CENTRES[name] for name in y]) + move + 0.7 * random.normal(size=(len(y), 2)), y


x, y = draw([*"abcd"], (0, 0))
x_target, y_target = draw([*CENTRES], (0.8, 0.6))
run = da_framework.fit(
    method="osbp",
    source=(x, y),
    target=x_target,  # without labels
    network="mlp",
    steps=400,
    evaluate_every=200,
)
said = run.predict(x_target)
truth = np.where(y_target == "new", "unknown", y_target)
for name in (*"abcd", "unknown"):
    print(f"open, {name}: {np.mean(said[truth == name] == name):.1%} is right")
    points = x_target[said == name]
    right.scatter(*points.T, s=6, label=name, color="black" if name == "unknown" else None)
right.set(title="open: what OSBP says of five groups")
right.legend(fontsize=8)
figure.savefig("partial_and_open_sets.png", dpi=100)
