"""Networks that upscale pictures: one file a family."""
