"""orwatch: watches what OpenRouter costs, run by cron."""

__version__ = "0.1.0"
