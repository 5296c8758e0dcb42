"""The metrics of `fbridge eval`: their definitions, and the formulas on single clips."""
