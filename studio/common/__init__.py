"""Helpers for every floor: files, archives, downloads, progress, schemas, text. Nothing here knows pictures or models."""
