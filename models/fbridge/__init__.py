"""fbridge: image-to-video by stochastic bridges that start at a picture and end in a video."""

__version__ = "0.1.0"
