"""``da``: a module for each command."""
