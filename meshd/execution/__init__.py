"""Attempts run here: in worker processes that can crash, hang or lie without harm to the daemon."""
