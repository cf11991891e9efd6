"""A program on a device where JAX is not installed."""

raise ModuleNotFoundError("No module named 'jax'", name="jax")
