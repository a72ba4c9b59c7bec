"""Prove that nothing is lost: numbered messages, a ledger, faults, and a verdict."""
