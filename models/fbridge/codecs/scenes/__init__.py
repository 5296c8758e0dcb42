"""The embedded model's codec: a picture as layers, a latent as their motions."""
