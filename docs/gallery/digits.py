"""Digits: from MNIST to USPS.

2000 digits of MNIST with labels, 1800 of USPS without: both come with the package. The picture
shows digits of USPS that are read wrongly without adaptation and rightly with DANN. The opposite
happens too, and is counted below.
"""

import matplotlib.pyplot as plt
import numpy as np

import da_framework

# the data set of the first run, `da train`: its images and labels by domain
digits = da_framework.build(da_framework.compose("dataset=digits")).dataset
mnist, usps = digits["mnist"], digits["usps"]

said = {}
for method in ("source_only", "dann"):
    run = da_framework.fit(
        method=method,
        source=(mnist.x, mnist.y),
        target=usps.x,  # without labels
        network="convnet",
        steps=500,
        evaluate_every=250,
    )
    said[method] = run.predict(usps.x)
    print(f"{method}: {np.mean(said[method] == usps.y):.1%} of USPS is right")

right = {method: labels == usps.y for method, labels in said.items()}
mended = np.flatnonzero(right["dann"] & ~right["source_only"])
spoilt = np.flatnonzero(right["source_only"] & ~right["dann"])
print(f"wrong without, right with DANN: {len(mended)}; the other way round: {len(spoilt)}")

figure, panels = plt.subplots(2, 8, figsize=(7, 2.6), layout="constrained")
shown = mended[:: max(1, len(mended) // panels.size)]
for panel in panels.flat:
    panel.axis("off")
for panel, index in zip(panels.flat, shown, strict=False):
    panel.imshow(usps.x[index, 0], cmap="gray")
    panel.set_title(f"{said['source_only'][index]} → {said['dann'][index]}")
figure.savefig("digits.png", dpi=100)
