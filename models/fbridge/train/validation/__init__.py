"""What held-out clips tell of a run."""
