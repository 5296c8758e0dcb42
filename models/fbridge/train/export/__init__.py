"""Export of a run's checkpoint as a model."""
