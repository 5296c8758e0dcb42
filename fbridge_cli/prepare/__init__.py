"""`fbridge prepare`: videos become a data set of latents."""
