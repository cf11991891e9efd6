"""Other devices: found, dialled, and spoken with."""
