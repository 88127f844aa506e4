"""``orwatch doctor``."""
