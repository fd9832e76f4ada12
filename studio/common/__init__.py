"""What every floor may use: files, archives, downloads, progress, text. It knows nothing of pictures or models."""
