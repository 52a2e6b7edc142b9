"""Engines, caches, decoding rules and rollouts."""
