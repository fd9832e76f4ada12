"""Training tasks: generation, translation, super-resolution."""
