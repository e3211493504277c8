"""Small programs in place of stages, to see what the kill suite says of sound and of broken ones."""
