"""What goes out into the world: marks of AI, signatures, and whether a model may be given away."""
