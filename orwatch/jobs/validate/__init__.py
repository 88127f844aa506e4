"""``orwatch validate``."""
