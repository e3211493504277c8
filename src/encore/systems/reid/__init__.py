"""Person re-identification driven by a params.json: plain and part-based networks, cross-entropy and triplet
losses, evaluation by galleries and queries.
"""

SYSTEM = "reid"
