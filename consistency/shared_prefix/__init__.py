"""Scoring with shared prefixes: lm_eval's requests in, logprobs out, with every shared prefix computed once.

The only room built on torch. It knows tokens, models and lm_eval's requests, but no questions, logs or reports.
"""
