"""Settings: command-line option > environment > env file > default."""
