"""Kraken on this machine: markets that trade and cascade by a seed, behind the venue's own two protocols."""
