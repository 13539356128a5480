"""`python -m consistency`, the same as the command `consistency`."""

from consistency.cli.app import main

main()
