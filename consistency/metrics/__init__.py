"""Arrays in, one number per question out; reads no file."""
