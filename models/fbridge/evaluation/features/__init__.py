"""What metrics are made of: features of clips, computed once, kept, and never computed again."""
