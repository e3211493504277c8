"""What a unit of a map takes of the cluster's node that does it; on this machine it makes no difference."""

PROCESSOR = "processor"
"""One processor."""
THREADS = "threads"
"""As many processors as the asking process has threads."""
DEVICE = "device"
"""A GPU of its own where the cluster has any, else as THREADS."""
