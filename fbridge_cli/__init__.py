"""The command line of fbridge: what the user types, and what he sees."""
