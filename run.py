#!/usr/bin/env python3
"""Two commands for a fresh machine: `python3 run.py demo` and `python3 run.py test`.

The first call makes `.venv` with exactly the locked versions, by uv when it is on PATH and by pip otherwise;
later calls start at once. Nothing is needed but Python 3.11 or newer; nothing outside this folder changes.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python reads this far, and deserves a sentence
    sys.exit("run.py: meshd needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
# The interpreter below any virtual environment: the one that runs this may be about to be remade.
BASE_PYTHON: str = getattr(sys, "_base_executable", "") or sys.executable
STAMP = VENV / ".ready"
"""Written last and removed first: without it `.venv` was left half made, or is not ours."""

USAGE = """\
usage: python3 run.py demo [options of `meshd demo`]    two nodes on this machine: pair them, offload a job
       python3 run.py test [options of pytest]          lint, types, import contracts, dependencies, tests"""

LOCKS = {"demo": ["requirements.lock"], "test": ["requirements.lock", "requirements-dev.lock"]}
CHECKS = ["ruff check", "ruff format --check", "basedpyright", "lint-imports", "deptry ."]

ALL_TESTS = ["--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
"""All tests wait for disks, networks and processes half of their time: files of them run beside each other."""

SIMULATION = ["-m", "tests.simulation", "--ci"]
SOAK = ["-m", "tests.soak", "--seconds", "60", "--seed", "7"]
"""Both run after the tests, only when none were asked for by options, and print their own figures."""


def main() -> int:
    """Do what the command line asks and return the exit status."""
    command, arguments = (sys.argv[1] if len(sys.argv) > 1 else "--help"), sys.argv[2:]
    if command not in LOCKS:
        print(USAGE, file=sys.stdout if command in {"-h", "--help"} else sys.stderr)
        return 0 if command in {"-h", "--help"} else 2
    set_up(command)
    if command == "test":
        return test(arguments)
    demo = [str(BIN / "meshd"), "demo", *arguments]
    if os.name != "nt":
        os.execv(demo[0], demo)  # noqa: S606 - no child: Ctrl-C and the exit status are then the demo's own
    return subprocess.call(demo)


def test(pytest_arguments: list[str]) -> int:
    """Run the checks and pytest, whatever each says; return 0 if all passed."""
    failed: list[str] = []
    for check in CHECKS:
        print(f"{check:<22}", end="", flush=True)
        tool, *options = check.split()
        call = [str(BIN / tool), *options]
        started = time.perf_counter()
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        print(f"{'failed' if done.returncode else 'ok':<6} {seconds:5.1f} s", flush=True)
        if done.returncode:
            print(done.stdout + done.stderr, flush=True)
            failed.append(check)
    failed += run_pytest(pytest_arguments or ALL_TESTS)
    if not pytest_arguments:
        failed += simulate()
        failed += soak()
    if failed:
        print("failed: " + ", ".join(failed), file=sys.stderr)
    return 1 if failed else 0


def run_pytest(arguments: list[str]) -> list[str]:
    """Run the tests; return what failed."""
    print("pytest", flush=True)
    return ["pytest"] if subprocess.call([str(BIN / "pytest"), *arguments], cwd=ROOT) else []


def simulate() -> list[str]:
    """Let meshes live in virtual time, under seeded faults; return what failed."""
    print("simulation", flush=True)
    return ["simulation"] if subprocess.call([str(PYTHON), *SIMULATION], cwd=ROOT) else []


def soak() -> list[str]:
    """Let real daemons live through a minute of faults; return what failed."""
    print("soak", flush=True)
    if not can_soak():
        print("left out: it needs root and /dev/net/tun, to make a network of its own", flush=True)
        return ["soak"] if os.environ.get("CI") else []
    return ["soak"] if subprocess.call([str(PYTHON), *SOAK], cwd=ROOT) else []


def can_soak() -> bool:
    """Return whether the soak can make hosts with a network between them."""
    return sys.platform == "linux" and os.geteuid() == 0 and Path("/dev/net/tun").exists()


def set_up(command: str) -> None:
    """Make `.venv` hold what `command` needs, or leave with a sentence that says what is missing."""
    digest = hashlib.sha256()
    for name in ["pyproject.toml", "uv.lock", *LOCKS["test"]]:
        digest.update((ROOT / name).read_bytes())
    home = f"{sys.version}\n{ROOT}\n"  # An environment works with this Python and in this place only.
    stamps = {name: f"{home}{digest.hexdigest()} {name}\n" for name in LOCKS}

    def found() -> str:
        return STAMP.read_text() if STAMP.is_file() and PYTHON.exists() else ""

    if found() in {stamps[command], stamps["test"]}:
        return
    with Path(__file__).open() as this_file:
        if os.name != "nt":
            import fcntl

            # Both commands may be started at once, in two terminals: the second waits and finds it done.
            fcntl.flock(this_file, fcntl.LOCK_EX)
        if found() in {stamps[command], stamps["test"]}:
            return
        print("run.py: setting up .venv, which takes a minute or less", file=sys.stderr, flush=True)
        if found().startswith(home):
            STAMP.unlink()
        else:
            shutil.rmtree(VENV, ignore_errors=True)
        uv = shutil.which("uv")
        try:
            if uv is None:
                install_with_pip(LOCKS[command])
            else:
                install_with_uv(uv, ["--no-dev"] if command == "demo" else [])
        except subprocess.CalledProcessError:
            sys.exit("run.py: .venv could not be set up; the lines above say why. Calling again tries again.")
        STAMP.write_text(stamps[command])


def install_with_uv(uv: str, options: list[str]) -> None:
    """Bring `.venv` in line with uv.lock."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment["UV_PROJECT_ENVIRONMENT"] = str(VENV)
    sync = [uv, "sync", "--quiet", "--frozen", "--python", BASE_PYTHON, *options]
    subprocess.run(sync, cwd=ROOT, env=environment, check=True)


def install_with_pip(locks: list[str]) -> None:
    """Install what the locked files name, each file against its hash, and then this project itself."""
    pip, venv_options = [str(PYTHON), "-m", "pip"], list[str]()
    if importlib.util.find_spec("ensurepip") is None:
        if importlib.util.find_spec("pip") is None:
            sys.exit("run.py: this Python has neither venv nor pip; on Debian: apt install python3-venv")
        pip, venv_options = [BASE_PYTHON, "-m", "pip", "--python", str(PYTHON)], ["--without-pip"]
    if not any(BIN.glob("pip*")):
        subprocess.run([BASE_PYTHON, "-m", "venv", "--clear", *venv_options, str(VENV)], check=True)
    install = [*pip, "install", "-qq", "--disable-pip-version-check"]
    named = [option for lock in locks for option in ("-r", lock)]
    subprocess.run([*install, "--no-compile", "--require-hashes", *named], cwd=ROOT, check=True)
    # requirements.lock has the build back end, so this step fetches nothing.
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "-e", "."], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
