"""What a training step is fed: batches of pictures, pairs, patches."""
