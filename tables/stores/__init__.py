"""Where market state is kept: Faust store drivers for RocksDB and memory, each with the same small extra interface.

They are registered in the entry-point group ``faust.stores``, as Faust's own are.
"""
