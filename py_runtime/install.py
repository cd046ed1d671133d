"""Makes or completes the Python environment that Quarry's workers run in.

Runs before anything is installed, so it knows the standard library only. The folder's stamp is
written first without and last with what is installed: whatever interrupts the work, the next call
sees an unfinished folder and finishes it. One call at a time works on a folder; others wait.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

STAMP = "quarry-environment.json"
LOCK = "quarry-environment.lock"


_PR_SET_PDEATHSIG = 1


class SetupFault(Exception):
    """A set-up that cannot go on, with the way out."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@contextlib.contextmanager
def locked(folder: Path):
    """Holds the folder for this process and its children; the kernel lets go when they end."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    # A pip that outlives this process must keep the folder until it has ended.
    os.set_inheritable(descriptor, True)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another set-up is at work on {folder}; waiting for it", flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_stamp(folder: Path) -> dict:
    """What is known about the folder; empty when nothing is."""
    try:
        stamp = json.loads((folder / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(folder: Path, stamp: dict) -> None:
    temporary = folder / f"{STAMP}.{os.getpid()}"
    temporary.write_text(json.dumps(stamp, indent=2) + "\n", "utf-8")
    os.replace(temporary, folder / STAMP)


def run(command: list[str], folder: Path) -> int:
    """Runs a command with the lock inherited; ends it when this process is asked to stop."""
    process, count = None, 0
    stops: list[int] = []
    # An end that comes while the child begins would leave it behind without a name.
    stop = signal.signal(signal.SIGTERM, lambda number, _: stops.append(number))
    try:
        try:
            process = subprocess.Popen(command, close_fds=False, stderr=subprocess.STDOUT)
        finally:
            signal.signal(signal.SIGTERM, stop)
        if stops:
            _stop()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=1)
            # pip says nothing for minutes while it unpacks and compiles.
            found = sum(1 for _ in folder.glob("lib/python3.*/site-packages/*.dist-info/RECORD"))
            if found > count > 0:
                print(f"Installed {found} packages", flush=True)
            count = found
    finally:
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait()


def is_working(python: Path) -> bool:
    """Whether the interpreter starts and has pip."""
    try:
        probe = [str(python), "-c", "import pip"]
        return subprocess.run(probe, check=False, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def make_venv(folder: Path) -> None:
    """Makes a virtual environment in a folder of ours, over whatever an interrupted call left."""
    for entry in folder.iterdir():
        if entry.name in (STAMP, LOCK):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"Making a virtual environment with Python {version} in {folder}", flush=True)
    if run([sys.executable, "-m", "venv", str(folder)], folder) != 0:
        raise SetupFault(
            f"Python's venv module could not make a virtual environment in {folder}.",
            "Install the venv package of your system (Debian and Ubuntu: apt install "
            "python3-venv; Fedora has it), or point QUARRY_PYTHON at an existing environment.",
        )


def remove_torn_packages(folder: Path) -> None:
    """Removes what a killed pip left: packages without RECORD count as installed to pip."""
    for site in folder.glob("lib/python3.*/site-packages"):
        for entry in site.iterdir():
            is_torn = entry.name.endswith(".dist-info") and not (entry / "RECORD").exists()
            if is_torn or entry.name.startswith("~"):
                shutil.rmtree(entry, ignore_errors=True)


def install(args: argparse.Namespace) -> None:
    """Brings the folder to what is asked for, doing only what is missing."""
    folder: Path = args.folder
    python = folder / "bin" / "python"
    wanted = json.loads(args.sets)
    stamp = read_stamp(folder)
    done = stamp.get("sets", {})
    if is_current(stamp, python) and all(done.get(name) == wanted[name] for name in wanted):
        return
    is_empty = all(entry.name == LOCK for entry in folder.iterdir())
    is_ours = is_empty or stamp.get("madeBy") == "quarry"
    if is_ours:
        write_stamp(folder, {"madeBy": "quarry", "sets": {}})
        if not is_working(python):
            make_venv(folder)
        remove_torn_packages(folder)
    elif not is_working(python):
        raise SetupFault(
            f"{folder} is neither empty nor a virtual environment with pip.",
            "Name an empty or new folder, or an existing environment, in QUARRY_PYTHON.",
        )
    command = [str(python), "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    command += ["--disable-pip-version-check"]
    for requirements in args.requirements:
        command += ["-r", requirements]
    if is_ours:
        # Somebody else's environment keeps its versions wherever they are in range.
        command += ["-c", args.constraints]
    if run(command, folder) != 0:
        raise SetupFault(
            f"pip could not install what Quarry needs into {folder}; its lines above say why.",
            "Check the network (HTTPS_PROXY, PIP_INDEX_URL) and the free disk space, then run "
            "the same command again: what is installed stays.",
        )
    made_by = "quarry" if is_ours else "user"
    sets = {**done, **wanted}
    write_stamp(folder, {"madeBy": made_by, "python": os.path.realpath(python), "sets": sets})


def is_current(stamp: dict, python: Path) -> bool:
    """Whether the interpreter is still the one the packages were installed for."""
    return python.exists() and stamp.get("python") == os.path.realpath(python)


def missing(requirements: list[str]) -> list[str]:
    """Which requirements this interpreter does not meet."""
    from importlib import metadata

    lines = [line.strip() for path in requirements for line in Path(path).read_text().splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    try:
        from packaging.requirements import Requirement
    except ImportError:  # transformers brings it: without it nothing is installed
        return wanted
    unmet = []
    for line in wanted:
        requirement = Requirement(line)
        try:
            is_met = requirement.specifier.contains(metadata.version(requirement.name), True)
        except metadata.PackageNotFoundError:
            is_met = False
        if not is_met:
            unmet.append(line)
    return unmet


def main(argv: list[str]) -> int:
    """Commands: `install` completes a folder, `check` prints what this interpreter lacks (JSON)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["install", "check"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--requirements", action="append", default=[])
    parser.add_argument("--constraints")
    parser.add_argument("--sets", help="JSON: name of each set of requirements → its hash")
    args = parser.parse_args(argv)
    if args.command == "check":
        print(json.dumps(missing(args.requirements)))
        return 0
    signal.signal(signal.SIGTERM, _stop)
    if sys.platform == "linux":
        # Whoever asked may be killed without a word: pip would go on for minutes.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    try:
        args.folder.mkdir(parents=True, exist_ok=True)
        with locked(args.folder):
            install(args)
    except SetupFault as fault:
        print(json.dumps({"message": fault.message, "hint": fault.hint}), file=sys.stderr)
        return 4
    except OSError as fault:
        hint = "Check that the folder can be written and that the disk has room."
        print(json.dumps({"message": f"Set-up failed: {fault}", "hint": hint}), file=sys.stderr)
        return 4
    return 0


def _stop(*_: object) -> None:
    # The kernel tells of a parent's death once for each of its threads; the end must not be cut short by the next.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
