"""What is worth a warning: each rule a pure function, and what becomes of what it finds."""
