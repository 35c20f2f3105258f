"""Fine-tuning: a few labels of the target.

When some target samples can be labelled, what is a label worth? A network trained on MNIST goes
on with 1, 3 or 10 labelled digits of USPS a class (`fine_tuning`), beside one that begins with
nothing but these. The others, whose labels are not shown, are what is tested.
"""

import matplotlib.pyplot as plt
import numpy as np

import da_framework

digits = da_framework.build(da_framework.compose("dataset=digits")).dataset
mnist, usps = digits["mnist"], digits["usps"]

run = da_framework.fit(
    method="source_only",
    source=(mnist.x, mnist.y),
    target=usps.x,
    network="convnet",
    steps=400,
    evaluate_every=400,
)
run.save("trained_on_mnist")
start = run.evaluate(usps.x, usps.y)["accuracy"]
print(f"no label: {start:.1%} of USPS is right")

# so many labels of each class, drawn once; fewer are among more
order = np.random.default_rng(0).permutation(len(usps.y))
per_class = (1, 3, 10)
figure, panel = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, start_from in (("from MNIST", "trained_on_mnist"), ("from nothing", None)):
    accuracy = []
    for count in per_class:
        shown = np.concatenate([order[usps.y[order] == digit][:count] for digit in range(10)])
        hidden = np.setdiff1d(order, shown)
        labels = np.where(np.isin(np.arange(len(order)), shown), usps.y, -1)  # -1: no label
        tuned = da_framework.fit(
            method="fine_tuning" if start_from else "target_only",
            target=(usps.x, labels),
            init_from=start_from,
            network="convnet",
            steps=150,
            evaluate_every=150,
            dataset__labels_per_class="all",
        )
        accuracy.append(tuned.evaluate(usps.x[hidden], usps.y[hidden])["accuracy"])
        print(f"{name}, {count} a class: {accuracy[-1]:.1%} of the others is right")
    panel.plot(per_class, accuracy, "o-", label=name)
panel.axhline(start, color="#9a9a9a", linestyle="--", label="without labels")
panel.set(xlabel="labelled digits of USPS a class", ylabel="accuracy on the others", ylim=(0, 1))
panel.set_xscale("log")
panel.set_xticks(per_class, [str(count) for count in per_class])
panel.legend()
figure.savefig("fine_tuning.png", dpi=100)
