"""The ledger of usage and its totals."""
