"""Networks that predict, one adapter a file, behind `fbridge.denoiser.Backbone`."""
