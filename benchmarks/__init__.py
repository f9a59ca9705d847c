"""Measurements against other programs. Each folder is one benchmark; `common` holds what they share."""
