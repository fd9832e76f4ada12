"""Provenance of saved files, that is, how they were made: policy, metadata, signatures, inspection."""
