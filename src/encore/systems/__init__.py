"""The published systems; each reads like the method section of its paper."""
