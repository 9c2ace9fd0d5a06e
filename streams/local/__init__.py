"""``liqmon run``: everything on one machine, from wheels."""
