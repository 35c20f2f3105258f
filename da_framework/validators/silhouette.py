"""How well predicted classes part the target's features."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs, every_kth


def silhouette(outputs: Mapping[str, Outputs]) -> float:
    r"""Mean silhouette of the target's features under the predicted classes; in [-1, 1].

    .. math:: \frac1m \sum_i \frac{b_i - a_i}{\max(a_i, b_i)}

    a is a sample's mean distance to its own class, b to the nearest other. Rousseeuw, "Silhouettes:
    a graphical aid to the interpretation and validation of cluster analysis", 1987,
    https://doi.org/10.1016/0377-0427(87)90125-7; as a validator: Musgrave, Belongie, Lim, "Three
    New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation", 2022.
    https://arxiv.org/abs/2208.07360
    A model that puts all samples in one class scores -1, the worst there is. Of more than
    16384 samples every k-th is taken.

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    from sklearn.metrics import silhouette_score

    target = outputs["target"]
    predicted = every_kth(target.logits).argmax(1).cpu().numpy()
    if not 1 < len(set(predicted.tolist())) < len(predicted):
        return -1.0
    return float(silhouette_score(every_kth(target.features).double().cpu().numpy(), predicted))
