"""``orwatch cron``."""
