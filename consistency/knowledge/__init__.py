"""What a model knows: a probe's log in, beliefs by question, their categories and a map out; rotations in, a report out."""
