"""Training: one loop, checkpoints that resume exactly."""
