"""Scoring with shared prefixes: requests in, log-probabilities out. The only room built on torch."""
