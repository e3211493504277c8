"""Object detection: boxes that may hold something, and the suppression of those that overlap."""
