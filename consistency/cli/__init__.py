"""The command line: arguments in, calls out. A command imports what it needs when it runs."""

from consistency.cli.app import main

__all__ = ["main"]
