"""What orwatch knows, as frozen data and pure functions. Days are UTC days."""
