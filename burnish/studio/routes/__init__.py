"""The JSON routes, one file a subject; each takes JSON, calls one service in one transaction, and gives JSON."""
