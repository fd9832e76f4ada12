"""Giving away: models and Spaces to the Hub of Hugging Face."""
