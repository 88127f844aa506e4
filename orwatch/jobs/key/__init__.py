"""``orwatch key``."""
