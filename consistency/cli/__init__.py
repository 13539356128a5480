"""The command line: arguments in, calls out. A command imports what it needs when it runs."""

from consistency.cli.entry import main

__all__ = ["main"]
