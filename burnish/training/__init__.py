"""The trainer, optimisers, schedules, sources and checkpoints."""
