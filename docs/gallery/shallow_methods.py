"""Shallow methods: no network, a closed form.

Before deep networks, adaptation meant a linear map that brings two sets of features together:
CORAL matches their covariances, subspace alignment their principal directions, TCA the means of a
kernel, JDA those of each class as well. They need no GPU, and work in any pipeline of scikit-learn.
Here they read small images of digits; those of the target are lit unevenly.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from da_framework import Estimator

x, y = load_digits(return_X_y=True)  # 8 x 8 pixels
x, x_target, y, y_target = x[:900] / 16, x[900:] / 16, y[:900], y[900:]
shade = np.linspace(0.2, 1.2, 8)[:, None] * np.ones(8)  # from above
haze = np.linspace(0.6, 0, 8)[None, :] * np.ones((8, 1))  # from the left
x_target = x_target * shade.ravel() + haze.ravel()

accuracy = {}
for method in ("nearest_neighbor", "pca", "coral", "subspace_alignment", "gfk", "tca", "jda"):
    model = Estimator(method).fit(x, y, x_target)
    accuracy[method] = model.score(x_target, y_target)
    print(f"{method}: {accuracy[method]:.1%} of the target is right")

figure, panel = plt.subplots(figsize=(6, 3), layout="constrained")
colors = ["#9a9a9a" if method in ("nearest_neighbor", "pca") else "#d9722e" for method in accuracy]
panel.barh(list(accuracy), list(accuracy.values()), color=colors)
panel.set(xlim=(0, 1), xlabel="accuracy on the target; grey: without adaptation")
panel.invert_yaxis()
figure.savefig("shallow_methods.png", dpi=100)
