"""Logs of lm_eval: files of any release since 0.4.0 in, one `Scores` per task out.

In reading order: runs, folders (what was handed in), packed (compressed files), samples (a file), rows (its JSON), gold and
documents; scores is the result. formats has the readers of other programs' logs. The rooms above do not open the harness's
files.
"""
