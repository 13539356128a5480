"""`python -m consistency.cli`, for launchers that want a module."""

from consistency.cli.entry import main

main()
