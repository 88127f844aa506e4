"""``orwatch status``."""
