"""`fbridge generate`: pictures and a prompt become videos."""
