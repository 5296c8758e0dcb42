"""From a configuration to all that the loop needs."""
