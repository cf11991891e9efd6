# pyright: basic
"""What computes here, and where its compiled code is kept."""

import hashlib
import os
import platform
from pathlib import Path

import jax
import numpy as np

from meshd.kinds.lineups.engine.room import room_here

_CACHE_VARIABLE = "MESHD_JAX_CACHE"


def cache_folder() -> Path | None:
    """Return the worker's folder for what is slow to find out, None when it was given none."""
    folder = os.environ.get(_CACHE_VARIABLE, "")
    return Path(folder) if folder else None


def _keep_compiled_code() -> None:
    folder = cache_folder()
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


_keep_compiled_code()


def is_cpu() -> bool:
    """Return whether the processor itself computes, and not an accelerator."""
    return jax.default_backend() == "cpu"


def device_name() -> str:
    """Return what computes here, for example `cpu` or `NVIDIA H200`."""
    return str(jax.devices()[0].device_kind)


def versions() -> dict[str, str]:
    """Return the versions of the libraries that computed."""
    return {"jax": jax.__version__, "numpy": np.__version__}


def fingerprint() -> str:
    """Return a word that changes when compiled code may run at another speed: device, instruction set, libraries."""
    told = [device_name(), platform.machine(), platform.processor(), str(os.cpu_count()), *versions().values()]
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told += sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def room_for(lineups: int, limit: int | None) -> int:
    """Return how many bytes the tables of a pass over so many lineups may take, in the memory where they lie."""
    if is_cpu():
        return room_here(lineups, limit)
    told = jax.devices()[0].memory_stats() or {}
    return max(0, told.get("bytes_limit", 0) - told.get("bytes_in_use", 0)) // 2
