"""Pure maths of latent spaces: no models, no files."""
