"""Statistics: what can be said of a difference, from stored predictions."""
