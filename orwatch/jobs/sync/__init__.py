"""``orwatch sync``."""
