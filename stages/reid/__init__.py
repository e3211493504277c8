"""The stages of person re-identification."""
