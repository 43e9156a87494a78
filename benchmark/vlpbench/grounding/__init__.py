"""Grounding: where in a radiograph a trained method finds the words of a report, and whether it is there."""
