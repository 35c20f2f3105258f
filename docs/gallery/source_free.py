"""Source-free: the labelled data may not leave the house, a trained network may.

A network is trained on MNIST and saved. Elsewhere there is only that network, and USPS without
labels: SHOT keeps the last layer and trains the encoder, so that each target sample is close to
one class and all classes occur. Not a single image of MNIST is read in the second step.
"""

import matplotlib.pyplot as plt
import numpy as np

import da_framework

digits = da_framework.build(da_framework.compose("dataset=digits")).dataset
mnist, usps = digits["mnist"], digits["usps"]

# where the labels are
run = da_framework.fit(
    method="source_only",
    source=(mnist.x, mnist.y),
    target=usps.x,  # source_only does not learn from it
    network="convnet",
    steps=400,
    evaluate_every=400,
)
run.save("trained_on_mnist")
before = run.predict_proba(usps.x)

# where the target is
adapted = da_framework.fit(
    method="shot",
    target=usps.x,  # without labels, and no source
    init_from="trained_on_mnist",
    network="convnet",
    steps=400,
    evaluate_every=100,
)
after = adapted.predict_proba(usps.x)

figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True, layout="constrained")
for panel, name, sure in zip(
    panels, ("as trained on MNIST", "after SHOT"), (before, after), strict=True
):
    right = sure.argmax(axis=1) == usps.y
    print(f"{name}: {right.mean():.1%} of USPS is right")
    groups = [sure.max(axis=1)[right], sure.max(axis=1)[~right]]
    bins = np.linspace(0, 1, 21).tolist()
    panel.hist(groups, bins, stacked=True, color=["#3b6fb6", "#d9722e"], label=["right", "wrong"])
    panel.set(title=f"{name}: {right.mean():.0%} right", xlabel="probability of the answer")
panels[0].set_ylabel("images of USPS")
panels[0].legend()
figure.savefig("source_free.png", dpi=100)
