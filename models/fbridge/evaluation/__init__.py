"""Measures of generated video: features of a fixed network, and distances between their sets."""
