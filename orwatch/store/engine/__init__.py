"""What SQLite and PostgreSQL differ in, connections, locks, bulk writing and the rate limit."""
