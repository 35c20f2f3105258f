"""Calibrations: what makes probabilities of logits, fitted to held-out source samples.

Each is a function of logits and labels that returns one of logits: the softmax of what this one
gives are the calibrated probabilities. Keys of a config come first, by ``_partial_``.
"""
