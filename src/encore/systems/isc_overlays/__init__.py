"""The detector of pictures and emojis pasted on query pictures (ISC 2021, both tracks)."""
