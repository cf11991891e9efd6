"""Who this device is, whom it trusts, and what those may do here."""
