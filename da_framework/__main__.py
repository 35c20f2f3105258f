"""``python -m da_framework`` is ``da``."""

from da_framework.cli.main import main

if __name__ == "__main__":
    main()
