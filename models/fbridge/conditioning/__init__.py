"""Prompts and pictures as embeddings: text encoders, tokenizers, image encoders."""
