"""Domains, their roles and splits, and labels that stay hidden."""
