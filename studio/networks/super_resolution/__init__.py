"""Networks that upscale pictures: one file per family."""
