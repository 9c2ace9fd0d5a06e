"""Recorded trades, read from a file."""
