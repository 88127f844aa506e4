"""Results to tables, bars, JSON and CSV. The only user of rich.

Names from outside reach the terminal as plain text: never as markup, never with control characters.
"""
