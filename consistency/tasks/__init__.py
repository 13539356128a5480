"""Questions, prompts and few-shot examples of the lm_eval tasks.

The task files in `lm_eval_tasks` import from this room and from `world` alone.
"""
