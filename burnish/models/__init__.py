"""Model parts: load and save, tree attention, log-probs, heads, adapters."""
