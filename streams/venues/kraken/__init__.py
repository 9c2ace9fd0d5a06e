"""Kraken's spot and futures feeds."""
