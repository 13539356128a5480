"""A training watched while it runs: what of the base model's knowledge changed so far, and whether that is harm."""
