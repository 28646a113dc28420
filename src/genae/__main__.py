"""``python -m genae``."""

from genae.cli import main

main()
