"""The published image augmentations, draw by draw and pixel by pixel, on Pillow alone."""
