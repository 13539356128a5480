"""Arrays in; numbers per question, counts and the registry of measures out. Reads no file, estimates nothing."""
