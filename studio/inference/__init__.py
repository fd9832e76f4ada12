"""Inference with a loaded model: sampling, translation, upscaling, within the available memory."""
