"""The Share tab."""
