"""Modules: networks, what they are made of, and adversaries."""
