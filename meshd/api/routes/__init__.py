"""The routes of the local API, a module for each thing they speak about."""
