"""``liqmon run``: the whole chain on one machine, with servers from wheels."""
