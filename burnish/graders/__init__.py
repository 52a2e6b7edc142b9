"""Graders: an example and a completion in, a score with its reasons out."""
