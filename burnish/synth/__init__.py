"""Synthetic data: prompts made by rule, answers repaired by code."""
