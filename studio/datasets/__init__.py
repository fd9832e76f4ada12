"""Image sets for training: ingestion, the store, rights, and sets opened for training."""
