"""The raw data that a size starts from: which there are, their names, digests, and what is missing."""
