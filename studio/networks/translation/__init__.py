"""Networks that turn a picture into another of the same size: one file a family."""
