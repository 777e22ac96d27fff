"""Training of interpolation, super-resolution and denoising networks."""
