"""The label that is not there."""

UNLABELLED = -1
"""Stands in place of every label that must not be seen; no class has this number."""
