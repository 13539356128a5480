"""The report of an experiment: its logs in, estimates, a verdict and a report's content out."""
