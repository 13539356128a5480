"""Two runs of the same questions: logs in, a `Comparison` out. Nothing here writes a file."""
