"""The networks behind published metrics: exact in architecture, names and preprocessing."""
