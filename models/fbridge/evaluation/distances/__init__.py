"""Distances and scores between sets of features."""
