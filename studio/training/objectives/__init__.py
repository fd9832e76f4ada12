"""Training objectives: networks, losses, and one step, for each sort of training."""
