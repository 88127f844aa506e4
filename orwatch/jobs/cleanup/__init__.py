"""``orwatch cleanup``."""
