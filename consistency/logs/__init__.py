"""Logs of lm_eval: files of any release in, one `Scores` per task out.

This room knows the harness's files; the rooms above open none of them.
"""
