"""Fetches files of data sets from the hub into its client's cache; tells what could not be had.

Reads a JSON list from stdin, `[{"url": …, "repo": …, "revision": …, "path": …}]`, and answers on
stdout with `{"fetched": [{"url", "path"}], "missing": [{"url", "reason"}]}`. A missing file is part
of the answer, not an error: whoever asked lists them all at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Annotated

import msgspec

from quarry_runtime.errors import ConfigError

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class HubFile(msgspec.Struct, frozen=True):
    """A file of a data set on the hub; `url` is what the user wrote."""

    url: _Text
    repo: _Text
    revision: _Text
    path: _Text


def read_request(text: str) -> list[HubFile]:
    """Takes the list of files apart.

    Raises:
        ConfigError: for anything but a list of objects with these four strings.
    """
    try:
        return msgspec.json.decode(text, type=list[HubFile])
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"The request is no list of files of the hub: {error}.",
            hint=f"Each has the strings {', '.join(HubFile.__struct_fields__)}.",
        ) from error


def fetch(files: list[HubFile]) -> dict[str, list[dict[str, str]]]:
    """Downloads what the cache lacks; files that are there cost no request when offline.

    A hub that cannot be reached is noticed by one quick question before anything is asked for in
    earnest: the client itself tries again for half a minute, for each file.
    """
    # Progress bars would fill the log of whoever reads stderr; a line per file tells enough.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    fetched: list[dict[str, str]] = []
    missing: list[dict[str, str]] = []
    is_offline = constants.HF_HUB_OFFLINE
    offline_reason = "HF_HUB_OFFLINE is set"
    if files and not is_offline:
        unreachable = _why_unreachable(files[0])
        if unreachable is not None:
            is_offline, offline_reason = True, unreachable

    for number, file in enumerate(files, 1):
        reason = None
        path = ""
        if not is_offline:
            print(f"{number} of {len(files)}: {file.url}", file=sys.stderr, flush=True)
        try:
            path = hf_hub_download(
                file.repo,
                file.path,
                repo_type="dataset",
                revision=file.revision,
                local_files_only=is_offline,
            )
        except GatedRepoError:
            reason = "the data set is gated: accept its terms, then `hf auth login`"
        except RepositoryNotFoundError:
            reason = "no such data set, or a private one: `hf auth login`"
        except RevisionNotFoundError:
            reason = f"the data set has no revision {file.revision}"
        except LocalEntryNotFoundError as error:
            # Offline, or the hub has gone away since; what it failed with is the cause.
            reason = offline_reason if is_offline else _line(str(error.__cause__ or error))
        except EntryNotFoundError:
            reason = f"revision {file.revision} of the data set has no such file"
        except HFValidationError as error:
            reason = _line(str(error))
        except (HfHubHTTPError, OSError) as error:
            reason = f"{type(error).__name__}: {_line(str(error))}"
        if reason is None:
            fetched.append({"url": file.url, "path": path})
        else:
            missing.append({"url": file.url, "reason": reason})
    return {"fetched": fetched, "missing": missing}


def _why_unreachable(file: HubFile) -> str | None:
    """Asks the hub for a file's size, once; whatever it answers, it can be reached."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        url = hf_hub_url(file.repo, file.path, repo_type="dataset", revision=file.revision)
        get_hf_file_metadata(url, timeout=10)
    except (HfHubHTTPError, HFValidationError):
        return None
    except Exception as error:
        return f"the hub cannot be reached ({type(error).__name__}: {_line(str(error))})"
    return None


def _line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:200] if lines else "no reason given"


def answer(argv: list[str]) -> dict[str, list[dict[str, str]]]:
    """`fetch < files.json`; one line per file goes to stderr."""
    argparse.ArgumentParser(prog="quarry_runtime fetch", description=answer.__doc__).parse_args(
        argv
    )
    return fetch(read_request(sys.stdin.read()))
