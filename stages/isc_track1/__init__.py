"""The stages of ISC 2021 Track 1."""
