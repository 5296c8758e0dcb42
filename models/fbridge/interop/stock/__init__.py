"""The files that are written into models' folders for diffusers; they import nothing of fbridge."""
