"""Validation on held-out clips."""
