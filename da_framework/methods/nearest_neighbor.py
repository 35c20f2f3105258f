"""No transfer: the classifier on the features as they are."""

from typing import ClassVar

from da_framework.methods.closed_form import ClosedForm


class NearestNeighbor(ClosedForm):
    r"""Nearest neighbour: the label of the nearest labelled sample, without transfer.

    .. math:: \hat y(x) = y_i, \qquad i = \arg\min_i \lVert f(x) - f(x^S_i) \rVert

    What every map in closed form is compared with. With ``classifier: logistic`` or ``svm`` it is
    that classifier, trained on the source alone. Cover, Hart, "Nearest Neighbor Pattern
    Classification", IEEE Transactions on Information Theory 1967.
    https://doi.org/10.1109/TIT.1967.1053964

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        classifier: on the features.
    """

    baseline: ClassVar = True
