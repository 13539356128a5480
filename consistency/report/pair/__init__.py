"""The report of two runs: a `Comparison` in, a report's content out."""
