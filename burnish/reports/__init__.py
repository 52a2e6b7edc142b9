"""Readers of run records, figures, and one HTML page."""
