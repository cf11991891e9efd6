"""The tray icon: a client of the local API, with no knowledge of the daemon behind it."""
