"""Looking after a database: checks, facts, backup and copy."""
