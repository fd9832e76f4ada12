"""What a training step is, for each kind of training. The trainer knows none of it."""
