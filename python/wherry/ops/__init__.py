"""What the host knows of an op: which kernel serves it, what its weights are, what it costs."""
