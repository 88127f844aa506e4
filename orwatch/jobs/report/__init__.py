"""``orwatch report``."""
