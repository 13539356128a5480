"""Several runs a side: read, measured pair by pair, estimated over runs and questions."""
