"""Data sources that ship with the core; each module registers itself."""
