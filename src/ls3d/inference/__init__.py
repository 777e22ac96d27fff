"""Running a network on frames of any size: device, precision, padding, tiles, memory, noise level."""
