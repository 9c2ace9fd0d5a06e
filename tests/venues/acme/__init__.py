"""Acme: an invented exchange that is unlike Kraken wherever the program might take Kraken for granted.

One venue with two kinds of market. Pairs are called ``PF_…``, which on Kraken are futures, and have integer ids.
Perpetuals are called ``…-PERP``; they are labelled, count contracts of a hundredth of a coin, and have 128-bit ids.
"""
