"""Models in the forms that other programs run: stock diffusers and ComfyUI."""
