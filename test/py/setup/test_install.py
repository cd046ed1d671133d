"""Making the environment survives interruption and company, and spares other people's folders."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INSTALLER = Path(__file__).resolve().parents[3] / "py_runtime" / "install.py"
STAMP = "quarry-environment.json"


class Setup:
    """Runs the installer on one folder with requirements that need no network: none."""

    def __init__(self, folder: Path) -> None:
        self.venv = folder / "venv"
        self.site = self.venv / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
        self.requirements = folder / "runtime.txt"
        self.requirements.write_text("# nothing\n")

    def command(self, name: str = "runtime", digest: str = "1") -> list[str]:
        sets = json.dumps({name: digest})
        options = ["--folder", str(self.venv), "--sets", sets]
        options += ["--requirements", str(self.requirements)]
        options += ["--constraints", str(self.requirements)]
        # The base interpreter, as python3 on the PATH is: not the one of the tests' environment.
        return [os.path.realpath(sys.executable), str(INSTALLER), "install", *options]

    def run(self, name: str = "runtime", digest: str = "1") -> subprocess.CompletedProcess[str]:
        command = self.command(name, digest)
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=500)

    def stamp(self) -> dict:
        return json.loads((self.venv / STAMP).read_text())


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Setup, list[str]]:
    """An environment, which takes seconds to make, by two at once, and what each of them said."""
    setup = Setup(tmp_path_factory.mktemp("made"))
    calls = [
        subprocess.Popen(
            setup.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    said = [call.communicate(timeout=500)[0] for call in calls]
    assert [call.returncode for call in calls] == [0, 0], said
    return setup, said


def test_two_at_once_make_one_environment_that_is_then_only_extended(
    made: tuple[Setup, list[str]],
) -> None:
    setup, said = made
    assert sum("Making a virtual environment" in each for each in said) == 1
    python = setup.venv / "bin" / "python"
    expected = {"madeBy": "quarry", "python": os.path.realpath(python), "sets": {"runtime": "1"}}
    assert setup.stamp() == expected
    again = setup.run()
    assert (again.returncode, again.stdout) == (0, "")
    extended = setup.run("demo", "2")
    assert "Making" not in extended.stdout
    assert setup.stamp()["sets"] == {"runtime": "1", "demo": "2"}


def test_whatever_an_interruption_leaves_is_finished_by_the_next_call(setup: Setup) -> None:
    # Killed while the virtual environment was made: a marker, an interpreter, no pip.
    (setup.venv / "bin").mkdir(parents=True)
    (setup.venv / STAMP).write_text(json.dumps({"madeBy": "quarry", "sets": {}}))
    (setup.venv / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    assert setup.run().returncode == 0
    assert setup.stamp()["sets"] == {"runtime": "1"}
    # Killed while pip unpacked a package: no RECORD yet, so pip would call it installed.
    torn = setup.site / "torch-2.13.0.dist-info"
    torn.mkdir()
    (torn / "METADATA").write_text("Name: torch\nVersion: 2.13.0\n")
    (setup.site / "~orch").mkdir()
    assert setup.run("runtime", "2").returncode == 0
    assert not torn.exists()
    assert not (setup.site / "~orch").exists()
    # Killed while the stamp was written: it never shows half.
    assert sorted(path.name for path in setup.venv.glob("quarry-*")) == [
        "quarry-environment.json",
        "quarry-environment.lock",
    ]


def test_somebody_elses_environment_keeps_its_packages(
    made: tuple[Setup, list[str]], setup: Setup
) -> None:
    shutil.copytree(made[0].venv, setup.venv, symlinks=True)
    (setup.venv / STAMP).unlink()
    theirs = setup.site / "theirs-1.0.dist-info"
    theirs.mkdir()
    assert setup.run().returncode == 0
    assert setup.stamp()["madeBy"] == "user"
    assert theirs.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
def test_pip_does_not_outlive_whoever_asked_for_the_set_up(setup: Setup) -> None:
    # Somebody's environment, whose pip says who it is and works for minutes.
    python = setup.venv / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\necho $$ >&3\nexec sleep 600\n')
    python.chmod(0o755)
    reading, writing = os.pipe()
    asking = "import os, subprocess, sys; os.dup2(int(sys.argv[1]), 3); "
    asking += "subprocess.run(sys.argv[2:], pass_fds=[3])"
    command = [sys.executable, "-c", asking, str(writing), *setup.command()]
    with subprocess.Popen(command, pass_fds=[writing]) as asker, os.fdopen(reading) as pipe:
        os.close(writing)
        pid = int(pipe.readline())
        os.kill(pid, 0)
        asker.kill()
        # The end of the file: all who had the pipe are gone.
        assert select.select([pipe], [], [], 100)[0] == [pipe]
        assert pipe.read() == ""


def test_a_stop_that_comes_while_pip_begins_ends_it_too() -> None:
    code = f"""if True:
        import os, signal, subprocess, sys
        from pathlib import Path

        sys.path.insert(0, {str(INSTALLER.parent)!r})
        import install

        class Begun(subprocess.Popen):
            def __init__(self, *args, **options):
                super().__init__(*args, **options)
                os.kill(os.getpid(), signal.SIGTERM)

        subprocess.Popen = Begun
        signal.signal(signal.SIGTERM, install._stop)
        install.run(["sleep", "600"], Path("."))
    """
    # Whoever is left behind holds the pipe.
    stopped = subprocess.run(
        [sys.executable, "-c", code], check=False, stdout=subprocess.PIPE, timeout=100
    )
    assert stopped.returncode == 143


def test_a_folder_that_is_no_environment_is_refused_untouched(setup: Setup) -> None:
    setup.venv.mkdir()
    (setup.venv / "thesis.txt").write_text("years of work")
    refused = setup.run()
    assert refused.returncode == 4
    fault = json.loads(refused.stderr.splitlines()[-1])
    assert "neither empty nor a virtual environment" in fault["message"]
    assert "QUARRY_PYTHON" in fault["hint"]
    assert (setup.venv / "thesis.txt").read_text() == "years of work"


def test_what_pip_cannot_find_fails_with_the_way_out_and_no_stamp(
    made: tuple[Setup, list[str]], setup: Setup
) -> None:
    shutil.copytree(made[0].venv, setup.venv, symlinks=True)
    begun = {"madeBy": "quarry", "sets": {}}
    (setup.venv / STAMP).write_text(json.dumps(begun))
    setup.requirements.write_text(f"thing @ file://{setup.venv}/nowhere.whl\n")
    failed = setup.run()
    assert failed.returncode == 4
    assert "run the same command again" in json.loads(failed.stderr.splitlines()[-1])["hint"]
    assert setup.stamp()["sets"] == {}


def test_an_interpreter_is_asked_what_it_lacks(setup: Setup) -> None:
    setup.requirements.write_text("# a comment\npytest>=1\nnumpy>=999\nno-such-thing>=1,<2\n")
    command = [sys.executable, str(INSTALLER), "check", "--requirements", str(setup.requirements)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(answer.stdout) == ["numpy>=999", "no-such-thing>=1,<2"]
