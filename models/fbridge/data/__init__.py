"""Reading and writing of pictures, videos, data sets and their metadata."""
