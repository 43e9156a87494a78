"""Discovered through the entry-point group `vlpbench.plugins`; every module in here registers itself."""
