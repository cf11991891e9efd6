"""The local API: JSON over loopback, for the programs of this machine's user."""
