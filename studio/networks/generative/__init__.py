"""Networks that draw pictures from latents: one file a family."""
