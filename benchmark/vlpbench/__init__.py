"""vlpbench: which pre-training method is better, where, by how much, and can the number be trusted."""

__version__ = "0.1.0"
