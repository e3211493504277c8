"""The orchestrator: data, claims, verdicts and the report. Reads files; never imports torch."""
