"""Training data: what a model knows in, rows of intervention groups out; the user's own rows in, an audit out."""
