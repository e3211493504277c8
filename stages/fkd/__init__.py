"""The stages of SRe2L with FKD labels, and what is run by hand."""
