"""Pictures, videos and their records on disk: what is read in and what is written out."""
