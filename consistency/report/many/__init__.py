"""The report of many runs: a `ManyComparison` in, a report's content out."""
