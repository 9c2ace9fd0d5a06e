"""Faults on purpose: a bad network, processes killed and frozen, and what must hold nevertheless."""
