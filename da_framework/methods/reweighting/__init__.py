"""Importance weights: how many times likelier a source sample is in the target."""
