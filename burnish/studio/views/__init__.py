"""Numbers about the work: how far it is, who did what, how well people agree, what biases them, which model wins."""
