"""Logs of other programs than lm_eval: a reader a format, each gives the `Scores` and the `RunConfig` of one file.

In reading order: find (what was handed in, which reader it is for), answers (a question of such a log, and the columns of
many), prompts (a question out of a prompt), decoding (bounded JSON and Parquet); then the readers. docs/formats.md lists
the versions of each format that were looked at.
"""
