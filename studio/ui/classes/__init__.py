"""The Classes tab."""
