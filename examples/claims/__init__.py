"""What the bridge buys, by measurement: each claim with its control, seeds and intervals."""
