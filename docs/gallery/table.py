"""A table: the same measurement in two laboratories.

569 tumours with 30 measurements each (the breast cancer data that scikit-learn brings along). The
source is one laboratory, with labels. The other, whose labels are hidden, has other instruments:
each of its columns has another scale and another zero. Before any method for it, look at the
scale: brought to mean 0 and deviation 1 by its own statistics, the target is read as well as the
source, and DANN has nothing left to do.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import da_framework

table = load_breast_cancer(as_frame=True).frame
table["target"] = table["target"].map({0: "malignant", 1: "benign"})
here = table.sample(frac=0.5, random_state=0)
there = table.drop(here.index)

# the other laboratory's instruments
random = np.random.default_rng(0)
measured = there.columns.drop("target")
spread = here[measured].std()
there[measured] *= random.uniform(0.6, 1.6, len(measured))
there[measured] += spread * random.uniform(-0.5, 1.5, len(measured))

accuracy = {}
for method, scale in (("source_only", "source"), ("source_only", "domain"), ("dann", "domain")):
    run = da_framework.fit(
        method=method,
        source=(here, "target"),  # the column of the labels
        target=there[measured],  # without labels
        network="mlp",
        steps=200,
        evaluate_every=100,
        dataset__scale=scale,
    )
    name = f"{method}\nscale={scale}"
    accuracy[name] = run.evaluate((there, "target"))["balanced_accuracy"]
    print(f"{method}, dataset.scale={scale}: {accuracy[name]:.1%} balanced accuracy")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for frame, name, color in ((here, "source", "#3b6fb6"), (there, "target", "#d9722e")):
    for kind, marker in (("benign", "o"), ("malignant", "x")):
        one = frame[frame["target"] == kind]
        left.scatter(
            one["mean radius"],
            one["mean texture"],
            s=14,
            marker=marker,
            color=color,
            linewidths=0.8,
            label=f"{name}, {kind}",
        )
left.set(xlabel="mean radius", ylabel="mean texture")
left.legend(fontsize=7)
right.barh(list(accuracy), list(accuracy.values()), color=["#9a9a9a", "#9a9a9a", "#d9722e"])
right.set(xlim=(0, 1), xlabel="balanced accuracy on the target")
right.invert_yaxis()
figure.savefig("table.png", dpi=100)
