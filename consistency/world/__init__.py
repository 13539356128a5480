"""The embedded world: seeds in, facts, questions and instructions out, and a small base model trained on its facts.

This room knows no task of lm_eval and no log; the scripts that train the base model are not part of the package.
"""
