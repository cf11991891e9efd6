"""What a worker may know about the daemon's environment: an allow-list, so that no secret travels by accident."""

from collections.abc import Mapping
from pathlib import Path

from meshd.execution.reaper import NODE, WORKER

ALLOWED = frozenset(
    {
        *("HOME", "LOGNAME", "PATH", "SHELL", "TZ", "USER"),
        *("LANG", "LANGUAGE", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME"),
        *("DYLD_FALLBACK_LIBRARY_PATH", "LD_LIBRARY_PATH"),
        *("CUDA_HOME", "CUDA_PATH", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_VISIBLE_DEVICES"),
        "XLA_FLAGS",
    }
)
"""What programs need to find libraries, folders, the user's language and the GPU. Not here, on purpose: proxies
(their URLs hold passwords), PYTHONPATH and its kin (they decide which code runs), and everything unknown."""


def worker_environment(
    surroundings: Mapping[str, str], *, node: str, worker: str, folder: Path, gpu: str | None, jax_cache: Path
) -> dict[str, str]:
    """Return the environment of one worker; with `gpu`, an id, it sees this GPU; without, JAX keeps to the CPU.

    Temporary files are made in the worker's own `folder`, so that they go with it, however it ends.
    """
    environment = {name: value for name, value in surroundings.items() if name in ALLOWED}
    environment |= {
        NODE: node,
        WORKER: worker,
        "TMPDIR": str(folder),
        "MESHD_JAX_CACHE": str(jax_cache),
        "JAX_COMPILATION_CACHE_DIR": str(jax_cache),
        # The order of sets must not differ between devices: results are compared bit by bit.
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
    }
    if gpu is None:
        environment |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    else:
        # The GPU may be the one that draws the owner's screen: take memory as it is needed.
        environment |= {"CUDA_VISIBLE_DEVICES": gpu, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return environment
