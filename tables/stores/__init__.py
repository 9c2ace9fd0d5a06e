"""Where market state is kept: Faust store drivers for RocksDB, Redis and memory, with the same extra interface.

They are registered in the entry-point group ``faust.stores``, as Faust's own are.
"""
