"""Where trades come from: Kraken spot and futures sockets, recordings, and the simulator that speaks both protocols."""
