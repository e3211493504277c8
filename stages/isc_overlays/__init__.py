"""Stages of the overlay detector, in order: generate, train, detect."""
