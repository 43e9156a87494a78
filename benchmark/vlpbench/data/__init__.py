"""Prepared data: what a source delivers, how it is stored, and the views that pre-training and tasks read."""
