"""The embedded world: seeds in, facts, questions and instructions out, and a small base model that knows some of them."""
