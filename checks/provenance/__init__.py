"""Provenance: a run as a Workflow Run RO-Crate, and the way in it from a verdict back to the bytes."""
