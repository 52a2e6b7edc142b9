"""Stages: wiring only. One file per stage kind."""
