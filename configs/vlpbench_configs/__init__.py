"""Data that ships with vlpbench: suites, protocols, table layouts and published numbers."""
