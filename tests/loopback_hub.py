"""A hub on 127.0.0.1 that speaks the Hugging Face Hub's protocol, with the faults a real one can have.

`GET /api/models/{repo}/revision/{revision}` lists a repository, `/tree/` does so in pages, `HEAD` and `GET
/{repo}/resolve/{revision}/{file}` serve a file, large ones by a redirect to a second port as a content network would.
A repository of data is called `datasets/{repo}` here and in the path of its files, and is listed at `/api/datasets/`.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 500


@dataclass
class Repository:
    """Its files by revision; a revision's commit follows from its content."""

    revisions: dict[str, dict[str, bytes]]
    gated: bool = False
    proposals: tuple[int, ...] = ()  # the hub's own safetensors conversions, by their number

    def files(self, revision: str) -> dict[str, bytes] | None:
        by_commit = {commit(files): files for files in self.revisions.values()}
        return self.revisions.get(revision) or by_commit.get(revision)


@dataclass
class Hub:
    """What the servers hold, do wrong and have been asked."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    busy: int = 0  # how many more requests are answered 429
    drop_after: int | None = None  # bytes after which the content network hangs up, once
    bytes_per_second: float = 0.0  # of the content network; 0 is as fast as it goes
    large: tuple[str, ...] = (".safetensors", ".bin")  # the files that the content network serves
    etag: str = ""  # said of every large file, in place of its sha256
    endpoint: str = ""
    network: str = ""

    def asked(self, method: str, ending: str = "") -> list[str]:
        """The paths asked for by `method` that end so."""
        return [path for verb, path, _ in self.requests if verb == method and path.endswith(ending)]


def commit(files: dict[str, bytes]) -> str:
    digest = hashlib.sha1()
    for name, data in sorted(files.items()):
        digest.update(name.encode() + hashlib.sha1(data).digest())
    return digest.hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """Run both servers on free ports of the loopback."""
    hub = Hub()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(kind, hub)) for kind in (_HubHandler, _NetworkHandler)]
    hub.endpoint, hub.network = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(kind: type[_Handler], hub: Hub) -> type[_Handler]:
    return type(kind.__name__, (kind,), {"hub": hub})


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append((self.command, urlsplit(self.path).path, headers))
        try:
            self.answer(urlsplit(self.path).path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, path: str) -> None:
        raise NotImplementedError

    def send(self, status: int, body: bytes = b"", **headers: object) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


class _HubHandler(_Handler):
    def answer(self, path: str) -> None:
        if self.hub.busy > 0:
            self.hub.busy -= 1
            self.send(429, Retry_After=0)
            return
        parts = [unquote(part) for part in path.strip("/").split("/")]
        api = parts[0] == "api"
        data = parts[1 if api else 0] == "datasets"
        parts = parts[2 if api else int(data) :]
        name = ("datasets/" if data else "") + "/".join(parts[:2])
        verb, *rest = parts[2:]
        repository = self.hub.repositories.get(name)
        if repository is None:
            self.send(404, X_Error_Code="RepoNotFound")
        elif verb == "discussions":
            self.json(_discussions(name, repository))
        elif (files := repository.files(rest[0])) is None:
            self.send(404, X_Error_Code="RevisionNotFound")
        elif verb == "resolve":
            self.resolve(repository, files, "/".join(rest[1:]))
        else:
            self.list(name, files, verb)

    def list(self, name: str, files: dict[str, bytes], verb: str) -> None:
        entries = [{"rfilename": file, "size": len(data)} for file, data in files.items()]
        if verb == "revision":
            self.json({"id": name, "sha": commit(files), "siblings": entries[:1000]})
            return
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        tree = [
            {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for file, data in list(files.items())[start : start + PAGE]
        ]
        address = f"{self.hub.endpoint}{urlsplit(self.path).path}?cursor={start + PAGE}"
        self.json(tree, **({"Link": f'<{address}>; rel="next"'} if start + PAGE < len(files) else {}))

    def resolve(self, repository: Repository, files: dict[str, bytes], file: str) -> None:
        known = {"X_Repo_Commit": commit(files)}
        if repository.gated and "authorization" not in {name.lower() for name in self.headers}:
            self.send(401, X_Error_Code="GatedRepo", X_Error_Message="Access to model is restricted.", **known)
        elif file not in files:
            self.send(404, X_Error_Code="EntryNotFound", **known)
        elif file.endswith(self.hub.large):
            etag = hashlib.sha256(files[file]).hexdigest()
            linked = {"X_Linked_Etag": f'"{self.hub.etag or etag}"', "X_Linked_Size": len(files[file])}
            self.send(302, Location=f"{self.hub.network}/{etag}", **linked, **known)
        else:
            self.send(200, files[file], ETag=f'"{hashlib.sha1(files[file]).hexdigest()}"', **known)

    def json(self, value: Any, **headers: object) -> None:
        self.send(200, json.dumps(value).encode(), Content_Type="application/json", **headers)


class _NetworkHandler(_Handler):
    def answer(self, path: str) -> None:
        every = (f for r in self.hub.repositories.values() for files in r.revisions.values() for f in files.values())
        data = next(data for data in every if hashlib.sha256(data).hexdigest() == path.strip("/"))
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            self.stream(data[start:])

    def stream(self, data: bytes) -> None:
        drop, self.hub.drop_after = self.hub.drop_after, None
        step = 1 << 16
        for offset in range(0, len(data), step):
            if drop is not None and offset >= drop:
                self.close_connection = True
                return
            self.wfile.write(data[offset : offset + step])
            if self.hub.bytes_per_second:
                time.sleep(step / self.hub.bytes_per_second)


def _discussions(name: str, repository: Repository) -> dict[str, Any]:
    found = [
        {
            "num": number,
            "title": "Adding `safetensors` variant of this model",
            "author": {"name": "SFconvertbot"},
            "status": "open",
            "isPullRequest": True,
            "createdAt": "2024-01-01T00:00:00.000Z",
            "repo": {"name": name, "type": "model"},
        }
        for number in repository.proposals
    ]
    return {"discussions": found, "count": len(found), "start": 0}
