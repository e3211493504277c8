"""The stages of ArcFace drip training."""
