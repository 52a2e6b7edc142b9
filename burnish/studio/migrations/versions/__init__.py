"""One file a version: `NUMBER_what.py`."""
