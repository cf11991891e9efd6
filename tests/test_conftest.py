"""The rules of conftest.py hold: what blocks fails, and CI skips nothing unnoticed."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from blockbuster import BlockingError

import meshd

SKIPS = """
    import pytest

    def test_passes(): ...
    def test_without_a_gpu(): pytest.skip("no GPU: none on this machine")
    def test_without_data(): pytest.skip("no data: ../shared/data is not there")
    @pytest.mark.xfail(strict=True)
    def test_known_to_fail(): assert False
    @pytest.mark.skip(reason="later")
    def test_forgotten(): ...
"""
SKIPPED_MODULE = """
    import pytest

    pytest.importorskip("a_module_that_is_nowhere")
"""


@pytest.fixture
def run_in(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], pytest.RunResult]:
    """Return what runs a pytest of its own, with this folder's conftest and a value for the variable CI."""
    conftest = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")
    pytester.makeconftest(conftest)
    pytester.makepyfile(test_skips=SKIPS, test_module=SKIPPED_MODULE)

    def run(ci: str) -> pytest.RunResult:
        monkeypatch.setenv("CI", ci)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider")

    return run


def test_a_skip_is_a_failure_in_ci_unless_a_gpu_or_data_is_missing(
    run_in: Callable[[str], pytest.RunResult],
) -> None:
    result = run_in("true")

    result.assert_outcomes(passed=1, skipped=2, xfailed=1, errors=2)
    result.stdout.fnmatch_lines(["CI may not skip this: could not import *", "CI may not skip this: later"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_skip_is_a_skip_at_a_desk(run_in: Callable[[str], pytest.RunResult]) -> None:
    run_in("").assert_outcomes(passed=1, skipped=4, xfailed=1)


def run_as_ours(source: str) -> object:
    """Return `blocks()` of a module whose file is, by its name, one of ours."""
    module = ModuleType("blocks")
    file = Path(meshd.__file__).with_name("blocks.py")
    exec(compile(source, str(file), "exec"), vars(module))  # noqa: S102 - a blocking call has to come from our folder
    return module.__dict__["blocks"]()


@pytest.mark.asyncio
async def test_our_code_may_not_sleep_in_the_loop() -> None:
    with pytest.raises(BlockingError):
        run_as_ours("import time\ndef blocks(): time.sleep(0)")


@pytest.mark.asyncio
async def test_our_code_may_not_write_a_file_in_the_loop(tmp_path: Path) -> None:
    with pytest.raises(BlockingError):
        run_as_ours(f"def blocks():\n  with open({str(tmp_path / 'file')!r}, 'w') as file: file.write('x' * 99999)")


@pytest.mark.asyncio
async def test_a_test_itself_and_a_thread_of_ours_may_block() -> None:
    time.sleep(0)  # noqa: ASYNC251
    await asyncio.to_thread(run_as_ours, "import time\ndef blocks(): time.sleep(0)")
