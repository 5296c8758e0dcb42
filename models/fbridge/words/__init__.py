"""What prompts say: their embeddings by a small encoder in plain torch."""
