"""Networks that translate a picture into another of the same size: one file per family."""
