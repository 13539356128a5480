"""Two sides of several runs as a report."""
