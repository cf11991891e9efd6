"""The local API from the other side: for the command line, the tray and the demo."""
