"""Which of several models is better on a target, decided by a few labels that are asked for."""
