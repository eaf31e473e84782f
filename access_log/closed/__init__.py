"""Logs that were closed: read and served as ever, written to no more (FORMAT 5.3)."""
