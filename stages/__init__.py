"""Stages: each reads its parameters, calls src/encore, writes outputs and records; no arithmetic."""
