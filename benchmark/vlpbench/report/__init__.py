"""The report: one HTML file of everything that records tell."""
