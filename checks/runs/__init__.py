"""What a run left behind: its lock, its digests, its record, and how two runs differ."""
