"""Scores of a checkpoint without target labels; higher is better."""
