"""Memory: what a model needs, and the options that make a large one fit."""
