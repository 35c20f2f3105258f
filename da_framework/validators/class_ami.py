"""Whether predictions agree with how features cluster."""

from collections.abc import Mapping

import numpy as np

from da_framework.core.batch import Outputs


def class_ami(outputs: Mapping[str, Outputs]) -> float:
    r"""Adjusted mutual information of predicted classes and k-means clusters of the target.

    .. math:: \mathrm{AMI}(\hat y, \; \text{k-means}_k(f(T)))

    1 where they agree, about 0 by chance: a model that puts all samples in one class scores 0, and
    so does one whose features are all equal, which have no clusters.
    Musgrave, Belongie, Lim, "Three New Validators and a Large-Scale Benchmark Ranking for
    Unsupervised Domain Adaptation", 2022. https://arxiv.org/abs/2208.07360

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_mutual_info_score

    target = outputs["target"]
    features = target.features.double().cpu().numpy()
    k = min(target.logits.shape[1], len(features))
    predicted = target.logits.argmax(1).cpu().numpy()
    if min(len(np.unique(predicted)), len(np.unique(features, axis=0))) < 2:
        # one part on either side: scikit-learn calls that agreement
        return 0.0
    clusters = KMeans(k, n_init=4, random_state=0).fit_predict(features)
    return float(adjusted_mutual_info_score(predicted, clusters))
