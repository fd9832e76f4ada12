"""Trainings in the background: a queue in SQLite, workers in processes of their own, and who looks after them."""
