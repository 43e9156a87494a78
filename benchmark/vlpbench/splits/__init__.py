"""Published ways to split the datasets, by name."""
