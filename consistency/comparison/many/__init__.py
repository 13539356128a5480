"""Many runs against one reference: logs in, a `ManyComparison` out. Nothing here writes a file."""
