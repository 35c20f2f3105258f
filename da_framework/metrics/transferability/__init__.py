"""Scores of how well a trained network suits a new labelled task; higher is better."""
