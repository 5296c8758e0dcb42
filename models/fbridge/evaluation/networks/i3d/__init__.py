"""The I3D network of FVD: its layers and the layouts of its checkpoints."""
