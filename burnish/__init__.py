"""Burnish: from raw text to a polished assistant. See README.md; the names below are what a script needs."""

__version__ = "0.1.0"
