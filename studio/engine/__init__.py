"""From a Recipe to a picture."""
