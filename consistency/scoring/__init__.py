"""The lm_eval model ``hf-shared-prefix``: each shared prefix is computed once, all questions behind it."""
