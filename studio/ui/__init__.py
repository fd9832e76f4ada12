"""The browser app: one folder per tab, joined in app.py."""
