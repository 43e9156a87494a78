"""Figures: pure functions of records and predictions."""
