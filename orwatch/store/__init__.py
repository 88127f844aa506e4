"""The database: tables, sessions, named reads and writes, locks. The only user of SQLAlchemy."""
