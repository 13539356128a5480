"""The harness's side: questions, prompts and few-shot examples of the tasks, as `lm_eval_tasks` asks for them."""
