"""Where trades come from: the venues' feeds, recordings, and the simulator that speaks Kraken's protocols."""
