"""Configs: their schema and settings, where they are, and what they may name."""
