"""`fbridge eval`: numbers with their protocol, their interval and what they compare to."""
