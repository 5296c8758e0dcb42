"""From a run to a model: folders, adapters."""
