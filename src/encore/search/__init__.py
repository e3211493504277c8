"""Exact nearest-neighbour search and the descriptor normalisations that rest on it."""
