"""One market's state: panes, the ids they have counted, windows, and alert episodes. Pure: no I/O."""
