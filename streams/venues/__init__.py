"""Where trades come from: venues and their feeds, recordings, and the simulator that speaks Kraken's protocols."""
