"""One module per peer. A new one is found by itself."""
