"""Retrieval metrics by their published definitions; needs numpy and nothing else."""
