"""Corrections of label shift: the class shares of a target without labels, and what they change.

Each is a function of the probabilities of held-out source samples, their labels, and the
probabilities of target samples. It holds where the shares of classes alone have shifted: where the
samples of a class look as they do in the source.
"""
