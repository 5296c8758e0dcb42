"""The second domain of the claims: motions of scenes without pixels, small enough for row 1."""
