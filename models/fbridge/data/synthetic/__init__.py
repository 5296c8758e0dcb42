"""Captioned clips composed on the fly: cut-outs over photographs, moved as words say.

Every quantity is known exactly (which pixels are the object, what lies behind it, how each layer
moves), which is what the embedded model learns from.
"""
