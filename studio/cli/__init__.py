"""The studio on the command line: one file for each group of verbs, joined in `main`."""
