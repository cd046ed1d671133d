"""Fetching from the hub: the cache is read as the client reads it; what is missing is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from quarry_runtime.errors import ConfigError
from quarry_runtime.fetch import read_request

ROOT = Path(__file__).resolve().parents[3]
# Also read by test/unit/data/readers/hub.test.ts: the same cache, looked at from TypeScript.
GOLDEN = json.loads((Path(__file__).parent / "hub-cache.json").read_text())
COMMIT = "c" * 40


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    for entry in GOLDEN["files"]:
        name, content = entry.split("=", 1)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def run(
    request: Any, cache: Path, **environment: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, list[dict[str, str]]]]:
    """Runs the verb as the orchestrator does; the answer is empty when it failed."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "py_runtime"), "HF_HUB_CACHE": str(cache)}
    env |= {"HF_HOME": str(cache / "home"), **environment}
    done = subprocess.run(
        [sys.executable, "-m", "quarry_runtime", "fetch"],
        input=request if isinstance(request, str) else json.dumps(request),
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done, json.loads(done.stdout) if done.returncode == 0 else {}


def entry(path: str, repo: str = "org/set", revision: str = "main") -> dict[str, str]:
    url = f"hf://datasets/{repo}@{revision}/{path}"
    return {"url": url, "repo": repo, "revision": revision, "path": path}


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["url"])
def test_the_hubs_own_client_finds_what_locate_finds(case: dict, cache: Path) -> None:
    found = huggingface_hub.try_to_load_from_cache(
        case["repo"], case["path"], cache, case["revision"], "dataset"
    )
    expected = case["found"]
    # Anything but a path says that there is none.
    assert (found if isinstance(found, str) else None) == (expected and str(cache / expected))


def test_offline_all_missing_files_are_listed_and_cached_ones_found(cache: Path) -> None:
    request = [entry("corpus.jsonl"), entry("a.tsv"), entry("b.tsv", "org/none")]
    done, answer = run(request, cache, HF_HUB_OFFLINE="1")
    assert done.returncode == 0
    assert [each["url"] for each in answer["fetched"]] == [request[0]["url"]]
    assert Path(answer["fetched"][0]["path"]).read_text() == "one"
    assert answer["missing"] == [
        {"url": each["url"], "reason": "HF_HUB_OFFLINE is set"} for each in request[1:]
    ]


@pytest.mark.parametrize(
    "request_text",
    ["", "{}", '["hf://x"]', '[{"url": "u", "repo": "r", "revision": "m"}]', '[{"url": 1}]'],
)
def test_a_request_of_another_form_is_a_config_error(request_text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read_request(request_text)
    done, _ = run(request_text, tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("CONFIG: ")


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download of a small file needs."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        self.server.paths.append(self.path)  # pyright: ignore[reportAttributeAccessIssue]
        body = b"fetched\n"
        headers = {"X-Repo-Commit": COMMIT}
        known = ("/datasets/org/set/resolve/main/", f"/datasets/org/set/resolve/{COMMIT}/")
        if self.path.startswith("/datasets/org/gated/"):
            status, headers = 403, {"X-Error-Code": "GatedRepo"}
        elif not self.path.startswith("/datasets/org/set/"):
            status, headers = 404, {"X-Error-Code": "RepoNotFound"}
        elif not self.path.startswith(known):
            status, headers = 404, {"X-Error-Code": "RevisionNotFound"}
        elif not self.path.endswith("/qrels/train.tsv"):
            status, headers = 404, {**headers, "X-Error-Code": "EntryNotFound"}
        else:
            status, headers = 200, {**headers, "ETag": f'"{"e" * 40}"'}
        if status != 200:
            body = b""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.paths = []  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_missing_files_are_downloaded_once_and_failures_have_reasons(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}"}
    request = [
        entry("qrels/train.tsv"),
        entry("none.tsv"),
        entry("qrels/train.tsv", revision="v9"),
        entry("x.tsv", "org/none"),
        entry("x.tsv", "org/gated"),
    ]
    done, answer = run(request, tmp_path, **online)
    assert done.returncode == 0, done.stderr
    path = Path(answer["fetched"][0]["path"])
    assert path == tmp_path / "datasets--org--set/snapshots" / COMMIT / "qrels/train.tsv"
    assert path.read_text() == "fetched\n"
    assert (tmp_path / "datasets--org--set/refs/main").read_text() == COMMIT
    reasons = [each["reason"] for each in answer["missing"]]
    assert reasons == [
        "revision main of the data set has no such file",
        "the data set has no revision v9",
        "no such data set, or a private one: `hf auth login`",
        "the data set is gated: accept its terms, then `hf auth login`",
    ]
    _, again = run(request[:1], tmp_path, HF_HUB_OFFLINE="1")
    assert again == {"fetched": answer["fetched"], "missing": []}


def test_a_hub_that_cannot_be_reached_is_told_at_once_for_all_files(tmp_path: Path) -> None:
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done, answer = run([entry("a.tsv"), entry("b.tsv"), entry("c.tsv")], tmp_path, **online)
    assert done.returncode == 0, done.stderr
    assert len(answer["missing"]) == 3
    assert all("cannot be reached" in each["reason"] for each in answer["missing"])
    assert done.stderr == ""
