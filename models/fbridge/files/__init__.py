"""Files of weights, configurations and data: written whole, read, hashed, renamed."""
