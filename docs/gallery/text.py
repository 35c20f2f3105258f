"""Texts: from reviews of books to reviews of kitchenware.

Whether a review is good or bad is learnt from books and asked of kitchenware. Some words of
praise and blame are the same for both; others belong to one of them. The reviews are put together
from such words, so that the example needs no data; a text is the counts of its words. For texts
of your own, in files, with a transformer, see `dataset=text` in
[your own data](../guides/own-data.md). In the picture, words of praise for kitchenware are blue,
words of blame orange.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

import da_framework

PLAIN = "the a it this that was is and of for with very i bought had"
SHARED = {
    "good": ["great", "excellent", "love", "perfect"],
    "bad": ["awful", "poor", "hate", "waste"],
}
WORDS = {
    "books": {
        "": ["author", "chapter", "plot", "pages", "story", "read", "novel", "characters"],
        "good": ["gripping", "moving", "insightful", "witty", "touching"],
        "bad": ["boring", "predictable", "shallow", "confusing", "tedious"],
    },
    "kitchen": {
        "": ["blender", "pan", "knife", "oven", "lid", "handle", "steel", "cup"],
        "good": ["sturdy", "sharp", "durable", "handy", "quiet"],
        "bad": ["broken", "leaks", "rusted", "flimsy", "scratched"],
    },
}
random = np.random.default_rng(0)


def write(domain: str, opinion: str) -> str:
    """A review: some of its words say what is thought of the thing."""
    words = [*random.choice(PLAIN.split(), 8), *random.choice(WORDS[domain][""], 4)]
    words += [*random.choice(WORDS[domain][opinion], 3)]
    words += [*random.choice(SHARED[opinion], random.integers(0, 2))]
    if random.random() < 0.3:  # nobody is of one mind
        words += [*random.choice(SHARED["bad" if opinion == "good" else "good"], 1)]
    return " ".join(random.permutation(words))


opinions = random.choice(["good", "bad"], 600)
books = [write("books", opinion) for opinion in opinions]
truth = random.choice(["good", "bad"], 600)
kitchen = [write("kitchen", opinion) for opinion in truth]
print(books[0], "|", kitchen[0], sep="\n")

count = CountVectorizer().fit(books + kitchen)  # the words of both; no label is read
x, x_target = (count.transform(texts).astype(np.float32) for texts in (books, kitchen))

pull = {}
for method in ("source_only", "mcc"):
    run = da_framework.fit(
        method=method,
        source=(x, opinions),
        target=x_target,  # without labels
        network="mlp",
        steps=200,
        evaluate_every=100,
    )
    accuracy = run.evaluate(x_target, truth)["accuracy"]
    print(f"{method}: {accuracy:.1%} of the reviews of kitchenware is right")
    words = np.eye(len(count.vocabulary_), dtype=np.float32)  # a text of each word alone
    pull[f"{method} ({accuracy:.0%} right)"] = run.predict_proba(words)[:, 1]  # of bad, good

shown = [word for opinion in ("good", "bad") for word in WORDS["kitchen"][opinion]]
figure, panels = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
for panel, (title, good) in zip(panels, pull.items(), strict=True):
    values = [good[count.vocabulary_[word]] for word in shown]
    panel.barh(shown, values, color=["#3b6fb6"] * 5 + ["#d9722e"] * 5)
    panel.axvline(0.5, color="black", linewidth=0.8)
    panel.set(title=title, xlim=(0, 1), xlabel='probability of "good" of the word alone')
figure.savefig("text.png", dpi=100)
