"""The embedded default: a fictional world, what its base model was told of it, and exams about it."""
