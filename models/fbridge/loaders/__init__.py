"""Models by name: what each is, where its parts lie, and loading them."""
