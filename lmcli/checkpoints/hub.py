"""The hub: lists a repository and fetches its files into the shared cache; the only file to import
huggingface_hub.

Files come one after the other in the main thread, so that Ctrl-C stops at once. The library would begin a
large file anew in the next run; here its bytes stay beside their place, and only what is missing is asked
for.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

import httpx2
from filelock import FileLock
from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    scan_cache_dir,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers, logging  # type: ignore[attr-defined]

from lmcli import __version__
from lmcli.checkpoints.transfer import bar_class, disk_full, refuse_full_disk, verify, write_reference
from lmcli.errors import CheckpointError, CheckpointNotFound, LmcliError, NetworkError, UsageError
from lmcli.types import Event, Notice

# Reaching the hub takes far less; an answer may take its time behind a proxy or a mirror.
_TIMEOUT = httpx2.Timeout(20, connect=4)
_LARGE = 5 << 20  # bytes from which a file is worth resuming
_MANY = 1000  # The hub may shorten the list of a repository with more files.
_PATIENCE_SECONDS = 60  # the longest Retry-After that is waited for
_RETRIES = 3
_HASH = re.compile(r"[0-9a-f]{40,64}")  # sha1 or sha256: a commit, a file's etag
_SHORT = 7  # digits of a commit, as git abbreviates it
_CONVERTER = "SFconvertbot"  # the account behind the hub's own safetensors/convert


@dataclass(frozen=True)
class Listing:
    """A repository at one commit: the size in bytes of each file by its name. `repo_type` is model or dataset."""

    repo_id: str
    commit: str
    files: dict[str, int]
    repo_type: str = "model"


def list_files(
    repo_id: str, revision: str | None, report: Callable[[Event], None], repo_type: str = "model"
) -> Listing:
    """Ask the hub what `revision` (main by default) holds. Raises CheckpointNotFound, CheckpointError,
    NetworkError."""
    logging.set_verbosity_error()
    api = HfApi(library_name="lmcli", library_version=__version__)

    def ask() -> Listing:
        look = api.dataset_info if repo_type == "dataset" else api.model_info
        info = look(repo_id, revision=revision or "main", files_metadata=True, timeout=_TIMEOUT)  # type: ignore[arg-type]
        commit = str(info.sha)
        siblings = info.siblings or []
        files = {file.rfilename: file.size or 0 for file in siblings}
        if len(siblings) >= _MANY:
            tree = api.list_repo_tree(repo_id, recursive=True, revision=commit, repo_type=repo_type)
            files = {file.path: getattr(file, "size", 0) for file in tree}
        return _checked(Listing(repo_id, commit, files, repo_type))

    with _explained(repo_id, revision, repo_type):
        return _patiently(ask, report)


def fetch(
    listing: Listing,
    names: Sequence[str],
    revision: str | None,
    hub_dir: Path,
    report: Callable[[Event], None],
) -> Path:
    """Fetch the files `names` and return the snapshot's folder. Raises NetworkError, CheckpointError,
    LmcliError."""
    repo = hub_dir / repo_folder_name(repo_id=listing.repo_id, repo_type=listing.repo_type)
    snapshot = repo / "snapshots" / listing.commit
    missing = [name for name in names if not (snapshot / name).exists()]
    refuse_full_disk(hub_dir, sum(listing.files[name] for name in missing))
    bar = bar_class(sum(listing.files[name] for name in missing), report)
    with _explained(listing.repo_id, revision, listing.repo_type):
        for name in missing:
            if listing.files[name] >= _LARGE:
                _patiently(lambda name=name: _resume(listing, name, repo, bar), report)  # type: ignore[misc]
            # What `_resume` has laid in its place is only linked here.
            hf_hub_download(
                listing.repo_id, name, revision=listing.commit, repo_type=listing.repo_type, cache_dir=hub_dir,
                tqdm_class=bar, library_name="lmcli", library_version=__version__,
            )  # fmt: skip
    write_reference(repo, revision or "main", listing.commit)
    return snapshot


def conversion(repo_id: str) -> str | None:
    """The revision of the safetensors conversion that the hub's own robot proposes for a repository of
    pickles."""
    with _explained(repo_id, None):
        proposals = HfApi(library_name="lmcli", library_version=__version__).get_repo_discussions(
            repo_id, author=_CONVERTER, discussion_type="pull_request", discussion_status="open"
        )
        return next((p.git_reference for p in proposals if "safetensors" in p.title), None)


def delete(hub_dir: Path, repo_id: str, revision: str | None) -> int:
    """Delete a repository, or one revision of it, from the shared cache; returns the bytes freed."""
    repo = next((r for r in scan_cache_dir(hub_dir).repos if r.repo_id == repo_id and r.repo_type == "model"), None)
    commits = _matching(repo.revisions if repo else (), revision)
    folder = hub_dir / repo_folder_name(repo_id=repo_id, repo_type="model")
    if not commits and (revision is not None or not folder.exists()):
        raise CheckpointNotFound(f"{repo_id} is not in {hub_dir} in that revision", "lmcli list shows what is")
    strategy = scan_cache_dir(hub_dir).delete_revisions(*commits)
    freed = strategy.expected_freed_size
    strategy.execute()
    if revision is None and folder.exists():  # What an interrupted download left is no revision.
        freed += sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
        shutil.rmtree(folder)
    return freed


def _matching(found: Iterable[Any], revision: str | None) -> list[str]:
    """The commits that `revision` names: all without one, else a ref's, or the only one it abbreviates."""
    refs = {commit.commit_hash: commit.refs for commit in found}
    if revision is None:
        return list(refs)
    exact = [commit for commit, names in refs.items() if revision in names or revision == commit]
    short = [commit for commit in refs if len(revision) >= _SHORT and commit.startswith(revision)]
    return exact or (short if len(short) == 1 else [])


def _checked(listing: Listing) -> Listing:
    """`listing`, whose commit and names become paths. Raises NetworkError where they would lead elsewhere."""
    names = map(PureWindowsPath, listing.files)  # It parts a name at both kinds of slash.
    if not _HASH.fullmatch(listing.commit) or any(name.anchor or ".." in name.parts for name in names):
        raise _strange(listing.repo_id)
    return listing


def _strange(repo_id: str) -> NetworkError:
    return NetworkError(
        f"the hub's answer about {repo_id} cannot be true", "check HF_ENDPOINT, and whether a proxy answers instead"
    )


def _resume(listing: Listing, name: str, repo: Path, bar: type) -> None:
    """Fetch a large file into the cache's `blobs`, going on from what an earlier run left."""
    url = hf_hub_url(listing.repo_id, name, revision=listing.commit, repo_type=listing.repo_type)
    headers = build_hf_headers(library_name="lmcli", library_version=__version__)
    metadata = get_hf_file_metadata(url, headers=headers, retry_on_errors=True)
    if not metadata.etag:
        return  # The library then says what is wrong with such a hub.
    if not _HASH.fullmatch(metadata.etag):
        raise _strange(listing.repo_id)
    blob = repo / "blobs" / metadata.etag
    part = blob.with_name(f"{blob.name}.lmcli.incomplete")
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock = repo.parent / ".locks" / repo.name / f"{metadata.etag}.lmcli.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    if urlsplit(metadata.location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # A content network gets no token.
    with FileLock(lock):
        if blob.exists():
            return
        with part.open("r+b" if part.exists() else "w+b") as file:
            here = file.seek(0, os.SEEK_END)
            if metadata.size is not None and here > metadata.size:
                here = file.truncate(file.seek(0))
            http_get(
                metadata.location, file, resume_size=here, headers=headers, expected_size=metadata.size,
                displayed_filename=name, tqdm_class=bar,
            )  # fmt: skip
        verify(part, name, metadata.etag)
        part.replace(blob)


def _patiently(call: Callable[[], Any], report: Callable[[Event], None]) -> Any:
    """Call again where the hub is busy, after the time it asks for."""
    for attempt in range(_RETRIES + 1):
        try:
            return call()
        except HfHubHTTPError as error:
            status = error.response.status_code
            if attempt == _RETRIES or (status != 429 and status < 500):
                raise
            asked = error.response.headers.get("Retry-After", "")
            seconds = int(asked) if asked.isdigit() else 2**attempt
            if seconds > _PATIENCE_SECONDS:
                raise
            report(Notice(f"the hub is busy ({status}); trying again in {seconds} s"))
            time.sleep(seconds)
    raise AssertionError("unreachable")


@contextmanager
def _explained(repo_id: str, revision: str | None, repo_type: str = "model") -> Iterator[None]:
    """Turn the library's errors into lmcli's."""
    try:
        yield
    except LmcliError:
        raise
    except (HfHubHTTPError, httpx2.HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise _explain(error, repo_id, revision, repo_type) from error
    except HFValidationError as error:
        raise UsageError(f"'{repo_id}' is not the form of a hub id", "give ORG/NAME") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full("the hub's cache", "a download did not fit") from error
        if error.errno is not None:
            raise LmcliError(f"cannot write to the hub's cache: {error}", "check its permissions") from error
        raise NetworkError(f"the download of {repo_id} broke off", "run the command again; it goes on") from error


def _explain(error: BaseException, repo_id: str, revision: str | None, repo_type: str) -> LmcliError:
    cause = error.__cause__
    if isinstance(error, LocalEntryNotFoundError) and cause is not None:
        return _explain(cause, repo_id, revision, repo_type)
    page = f"{constants.ENDPOINT}/{'datasets/' if repo_type == 'dataset' else ''}{repo_id}"
    if isinstance(error, GatedRepoError):
        return CheckpointError(
            f"{repo_id} is gated: its licence must be accepted first",
            f"accept it on {page}, then log in with 'hf auth login' or set HF_TOKEN",
        )
    if isinstance(error, RevisionNotFoundError):
        return CheckpointNotFound(f"{repo_id} has no revision '{revision}'", f"see {page}/tree/main")
    if isinstance(error, RepositoryNotFoundError):
        return CheckpointNotFound(
            f"the hub has no repository {repo_id}, or it is private",
            "check the name; for a private one log in with 'hf auth login' or set HF_TOKEN",
        )
    if isinstance(error, OfflineModeIsEnabled):
        return CheckpointNotFound(f"{repo_id} is not on this machine", "unset HF_HUB_OFFLINE to fetch it")
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error.response.status_code, repo_id)
    return NetworkError(
        f"cannot reach {urlsplit(constants.ENDPOINT).netloc}: {_reason(error)}",
        "check the connection, HTTPS_PROXY, or name a mirror of the hub in HF_ENDPOINT",
    )


def _explain_status(status: int, repo_id: str) -> LmcliError:
    if status in (401, 403):
        return CheckpointError(
            f"the hub refuses access to {repo_id} ({status})",
            "check HF_TOKEN, or log in with 'hf auth login'",
        )
    if status == 429:
        return NetworkError("the hub is limiting requests (429)", "wait a while, or log in with 'hf auth login'")
    return NetworkError(f"the hub answered {status}", "try again later, or name a mirror in HF_ENDPOINT")


def _reason(error: BaseException) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
