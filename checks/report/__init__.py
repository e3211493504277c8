"""The report: one self-contained page for each size."""
