"""`python -m consistency`, the same as the command `consistency`."""

from consistency.cli.entry import main

main()
