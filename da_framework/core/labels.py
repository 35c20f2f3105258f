"""The label that is not there, and the roles whose labels are."""

UNLABELLED = -1
"""Stands in place of every label that must not be seen; no class has this number."""

LABELLED_ROLES = ("source", "target_labelled")
"""The roles with labels, and the terms that they make; all other terms are a method's own."""
