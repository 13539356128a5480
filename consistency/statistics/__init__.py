"""Arrays in, estimates with intervals and tests out; reads no file."""
