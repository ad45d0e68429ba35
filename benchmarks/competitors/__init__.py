"""One module per competitor. A new one is found by itself."""
