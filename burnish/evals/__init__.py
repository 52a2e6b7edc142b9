"""Evaluation suites and comparisons."""
