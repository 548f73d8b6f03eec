"""Networks as StableHLO artifacts, which run where jaxrnn is not installed."""
