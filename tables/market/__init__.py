"""One market's state: panes, identities, windows, episodes. Pure: no I/O."""
