"""Budgets of one's own: set, listed, removed, and how much of each is spent."""
