"""Shorter wordings of a corpus' reports: who writes them, where they are kept, and how they are read back."""
