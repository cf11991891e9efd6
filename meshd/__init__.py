"""The daemon: a node of the mesh, its local API and its command line."""

__version__ = "0.1.0"
