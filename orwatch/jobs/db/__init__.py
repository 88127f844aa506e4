"""``orwatch db``."""
