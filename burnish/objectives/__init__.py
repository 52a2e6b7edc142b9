"""Objectives: one small file per family."""
