"""One module per competitor. New modules are found automatically."""
