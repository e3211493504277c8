"""What the systems survive: kills, broken disks, hostile files, lost machines (`make faults`)."""
