"""What orwatch does: each job takes what it needs, prints nothing, and answers with a result."""
