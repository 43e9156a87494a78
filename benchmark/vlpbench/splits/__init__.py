"""Published ways to split the datasets, by name."""

CLEAN = "clean"
"""The prepared folder's own split: patients kept apart wherever they are known."""
