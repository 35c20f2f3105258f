"""Domain-adaptation methods, a file each; the config group ``method`` is the list."""
