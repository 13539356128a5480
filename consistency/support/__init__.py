"""What every room may use: files that appear whole, YAML, resources, the look of figures.

This room knows nothing of models and questions.
"""
