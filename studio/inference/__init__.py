"""A loaded model at work: sampling, translating, upscaling, within the memory there is."""
