"""Benchmarks: each figure of docs/costs.md is printed by one of these modules."""
