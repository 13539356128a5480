"""The functions of these task files: loading questions, and prompts for any number of options."""

from consistency.support.streams import report_uncaught
from consistency.tasks.harness import instruction, letters, load_subject, question, shot_answers

__all__ = ["instruction", "letters", "load_subject", "question", "shot_answers"]

report_uncaught()
