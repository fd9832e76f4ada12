"""The browser app: one file a tab, joined in app.py."""
