"""A device runs an attempt on the accelerator that would be done first, and waits for it only if that pays."""

from dataclasses import replace

from meshd.scheduling.choice import Option, choose

CPU = Option("cpu", is_free=True, wait_s=0.0, start_s=0.0, rate=1e9)
GPU = Option("GPU A", is_free=True, wait_s=0.0, start_s=0.0, rate=100e9, gpu="GPU-1")
BUSY = replace(GPU, is_free=False, wait_s=5.0)


def test_a_long_attempt_takes_the_gpu_and_a_short_one_no_cold_start() -> None:
    assert choose(20e9, [CPU, GPU]) == GPU
    cold = replace(GPU, start_s=3.0)
    assert choose(20e9, [CPU, cold]) == cold
    assert choose(1e9, [CPU, cold]) == CPU


def test_a_busy_gpu_is_waited_for_if_that_is_sooner() -> None:
    assert choose(20e9, [CPU, BUSY]) == BUSY
    assert choose(2e9, [CPU, BUSY]) == CPU


def test_what_lacks_memory_is_left_out() -> None:
    assert choose(20e9, [CPU, replace(GPU, obstacle="0.1 GB are free")]) == CPU
    assert choose(20e9, [replace(CPU, obstacle="no memory"), replace(GPU, obstacle="no memory")]) is None


def test_of_unknown_length_it_takes_what_is_free_a_gpu_first() -> None:
    assert choose(None, [CPU, GPU]) == GPU
    assert choose(None, [CPU, BUSY]) == CPU
    assert choose(20e9, [CPU, replace(GPU, rate=None)]) == replace(GPU, rate=None)


def test_two_gpus_of_a_model_are_told_apart() -> None:
    assert choose(20e9, [replace(BUSY, wait_s=9.0), replace(BUSY, gpu="GPU-2")]) == replace(BUSY, gpu="GPU-2")
