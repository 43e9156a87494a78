"""One module per command; each imports what it needs, so that a quick command stays quick."""
