"""What a worker is asked once about the GPU that it was given: whether JAX computes on it.

A driver that lists a GPU says nothing about that: JAX may be installed without CUDA, or for another driver.
"""

import importlib

from meshd.errors import Degraded


class Inspection:
    """Runs in a worker, as the calibration of a kind does."""

    def calibrate(self) -> float:
        """Return how many GPUs JAX computes on.

        Raises:
            Degraded: on none.
        """
        # By name: what imports JAX is a program of a kind, and this one only asks whether one could.
        jax = importlib.import_module("jax")
        if jax.default_backend() not in {"gpu", "cuda", "rocm"}:
            raise Degraded(f"JAX computes on {jax.default_backend()} there", hint="install meshd[cuda]")
        # Listing is not computing: a card that the installed JAX does not support fails here, and not in a job.
        total = jax.numpy.ones((8, 8)).sum()
        if float(total) != 64.0:
            raise Degraded(f"8 x 8 ones add up to {float(total)} there")
        return float(jax.device_count())


program = Inspection()
