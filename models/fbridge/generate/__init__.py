"""From pictures and prompts to videos."""
