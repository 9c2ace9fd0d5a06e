"""Benchmarks: each figure of the README is printed by one of these modules."""
