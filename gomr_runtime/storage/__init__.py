"""Wherever a run's data lives: a directory, S3 or memory behind one small protocol."""
