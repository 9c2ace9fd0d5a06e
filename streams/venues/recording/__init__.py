"""Recorded trades of any venue, read from a file."""
