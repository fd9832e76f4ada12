"""Sharing on the Hub: model uploads and cards, Spaces and their preview, and the check whether a model may be public."""
