"""Kept prompts: taken up by the next process to the same tokens, never after a change, never at an answer's cost."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from scripted import Result

from lmcli import cli, engine
from lmcli.checkpoints.fingerprint import fingerprint
from lmcli.engine import generation, prefix_store
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.prefix_folder import PrefixFolder
from lmcli.environment import Environment
from lmcli.types import Done, Event, LoadOptions, Notice, SamplingParams, TaskResult

BLOCK = 64  # tokens, not the 512 that prefill takes at once: the tests are eight times faster so
LONG = ("The quick brown fox jumps over the lazy dog. " * 5)[:220]  # a token a byte: three whole blocks
LIMIT = 10**8
GREEDY = SamplingParams(max_tokens=12)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcli.engine.generation.BLOCK", BLOCK)
    monkeypatch.setattr("lmcli.engine.prefix_store.BLOCK", BLOCK)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny.save(folder, tiny.config("llama"))
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A checkpoint of the test's own, to change as it likes."""
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "prompts"


def load(folder: Path, prompts: Path | None, limit: int = LIMIT, dtype: str = "float32") -> GenerationEngine:
    """An engine as a new process has it."""
    options = LoadOptions("cpu", dtype, cache_prompt=prompts is not None, prompt_dir=prompts, prompt_dir_bytes=limit)
    loaded = engine.load(tiny.checkpoint(folder, dtype=dtype), options)
    assert isinstance(loaded, GenerationEngine)
    return loaded


def answer(folder: Path, prompts: Path | None, text: str = LONG, **options: object) -> tuple[str, int, list[Event]]:
    """What a new process answers to `text`, how many tokens it found, and all its events."""
    events = list(load(folder, prompts, **options).stream(text, GREEDY))  # type: ignore[arg-type]
    result = TaskResult.fold(events)
    return result.text, result.usage.cached_tokens, events


def kept(prompts: Path) -> list[Path]:
    return sorted(prompts.glob("*"))


@pytest.mark.parametrize("dtype", ["float32", "auto"])
@pytest.mark.parametrize("text", [LONG, LONG + "And then?", LONG[:140] + "Another end.", LONG[: 2 * BLOCK]])
def test_a_kept_prompt_gives_the_same_tokens_and_is_not_prefilled_again(
    text: str, dtype: str, folder: Path, prompts: Path
) -> None:
    wanted, nothing, _ = answer(folder, None, text, dtype=dtype)
    answer(folder, prompts, dtype=dtype)
    found, cached, _ = answer(folder, prompts, text, dtype=dtype)
    assert nothing == 0
    assert cached == {220: 192, 229: 192, 152: 128, 128: 64}[len(text)]
    assert found == wanted


def test_no_prompt_is_kept_whose_keys_depend_on_how_long_it_became(tmp_path: Path, prompts: Path) -> None:
    factors = {"short_factor": [1.0] * 8, "long_factor": [9.0] * 8}
    rope = {"rope_parameters": {"rope_type": "longrope", **factors}, "original_max_position_embeddings": 140}
    tiny.save(tmp_path, tiny.config("phi3", **rope))
    wanted, _, _ = answer(tmp_path, None, LONG[:100])
    answer(tmp_path, prompts, LONG)
    assert answer(tmp_path, prompts, LONG[:100])[:2] == (wanted, 0)


def test_the_logits_after_a_kept_prompt_are_the_same_to_the_bit(folder: Path, prompts: Path) -> None:
    answer(folder, prompts)
    plain, resumed = load(folder, None), load(folder, prompts)
    tokens = plain.tokenizer.encode(LONG + "Why?")
    expected, _ = plain._prefill(tokens)
    logits, cached = resumed._prefill(tokens)
    assert cached == 3 * BLOCK
    assert torch.equal(logits, expected)
    assert resumed.decoder.tokens == tokens


def test_a_conversation_goes_on_behind_a_kept_prompt(folder: Path, prompts: Path) -> None:
    answer(folder, prompts)
    plain, resumed = load(folder, None), load(folder, prompts)
    for text in (LONG, LONG + "More.", LONG[:90], "Short.", LONG):
        ours, theirs = (list(e.stream(text, GREEDY)) for e in (resumed, plain))
        assert TaskResult.fold(ours).text == TaskResult.fold(theirs).text
        assert len(resumed.decoder.tokens) == len(plain.decoder.tokens)


def test_only_what_is_not_on_disk_yet_is_written(folder: Path, prompts: Path) -> None:
    answer(folder, prompts, LONG[:140])
    before = {file: file.stat().st_ino for file in kept(prompts)}
    answer(folder, prompts, LONG)
    answer(folder, prompts, LONG + "Another question?")
    assert len(before) == 2
    assert len(kept(prompts)) == 3
    assert before.items() <= {file: file.stat().st_ino for file in kept(prompts)}.items()


def test_what_a_conversation_keeps_is_what_a_new_process_would_compute(
    folder: Path, prompts: Path, tmp_path: Path
) -> None:
    chat = load(folder, prompts, dtype="bfloat16")
    assert chat._prefixes is not None
    tokens = chat.tokenizer.encode(LONG)
    for asked, answered in (
        (60, 100),
        (110, 150),
        (160, 161),
        (220, 220),
    ):  # The answers reach over the ends of blocks.
        chat._prefill(tokens[:asked])
        for token in tokens[asked:answered]:
            chat.decoder.forward([token])
        assert not list(chat._prefixes.keep(tokens[:asked]))
    answer(folder, tmp_path / "fresh", dtype="bfloat16")
    # A file's name tells its tokens and its content.
    assert {file.name for file in kept(prompts)} == {file.name for file in kept(tmp_path / "fresh")}
    assert len(kept(prompts)) == 3


def test_a_short_prompt_is_not_kept_and_nothing_is_without_being_asked(folder: Path, prompts: Path) -> None:
    answer(folder, prompts, LONG[: BLOCK - 1])
    answer(folder, None)
    assert not prompts.exists()


def reweighed(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.0.self_attn.v_proj.weight"
    save_file(weights | {name: weights[name] * -1}, folder / "model.safetensors", {"format": "pt"})


def reweighed_in_place(folder: Path) -> None:
    """As a program would that wants nobody to see it: the same file, size and time of writing."""
    file = folder / "model.safetensors"
    before = file.stat()
    content = file.read_bytes()
    reweighed(folder)
    changed = file.read_bytes()
    file.write_bytes(content)
    with file.open("r+b") as stream:
        stream.write(changed)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def reconfigured(folder: Path) -> None:
    config = tiny.read(folder / "config.json")
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": 500.0}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("change", [reweighed, reweighed_in_place, reconfigured])
def test_a_prompt_of_a_checkpoint_that_has_changed_is_never_used(change: object, folder: Path, prompts: Path) -> None:
    answer(folder, prompts)
    before = load(folder, prompts).decoder.forward(load(folder, None).tokenizer.encode(LONG[:40]))
    change(folder)  # type: ignore[operator]
    after = load(folder, prompts).decoder.forward(load(folder, None).tokenizer.encode(LONG[:40]))
    assert not torch.equal(before, after)  # or the test would show nothing
    found, cached, _ = answer(folder, prompts)
    assert (found, cached) == (answer(folder, None)[0], 0)
    assert answer(folder, prompts)[1] == 3 * BLOCK


def test_a_checkpoint_that_changes_under_a_running_process_is_neither_resumed_nor_kept(
    folder: Path, prompts: Path
) -> None:
    answer(folder, prompts, LONG[:75])
    running = load(folder, prompts)
    replaced = folder / "new.safetensors"
    shutil.copy(folder / "model.safetensors", replaced)
    replaced.replace(folder / "model.safetensors")
    assert TaskResult.fold(running.stream(LONG, GREEDY)).usage.cached_tokens == 0
    assert len(kept(prompts)) == 1


def test_another_precision_has_prompts_of_its_own(folder: Path, prompts: Path) -> None:
    answer(folder, prompts, dtype="float32")
    assert answer(folder, prompts, dtype="bfloat16")[1] == 0
    assert answer(folder, prompts, dtype="bfloat16")[1] == 3 * BLOCK


def test_the_folder_stays_below_its_limit_and_the_least_used_go_first(folder: Path, prompts: Path) -> None:
    answer(folder, prompts)
    size = sum(file.stat().st_size for file in kept(prompts))
    other = LONG[::-1]
    answer(folder, prompts, other, limit=2 * size)
    age(prompts)
    assert answer(folder, prompts, other, limit=2 * size)[1] == 3 * BLOCK  # used: now the younger ones
    answer(folder, prompts, LONG.upper(), limit=2 * size)
    assert sum(file.stat().st_size for file in kept(prompts)) <= 2 * size
    assert [answer(folder, prompts, text)[1] for text in (other, LONG)] == [3 * BLOCK, 0]


def age(prompts: Path) -> None:
    for file in kept(prompts):
        os.utime(file, (1, 1))


def test_a_limit_that_cuts_a_prompt_keeps_its_beginning(folder: Path, prompts: Path) -> None:
    answer(folder, prompts)
    one = kept(prompts)[0].stat().st_size
    PrefixFolder(prompts).clear()
    answer(folder, prompts, limit=2 * one)
    assert answer(folder, prompts, limit=2 * one)[1] == 2 * BLOCK


def test_a_limit_below_one_block_keeps_nothing_and_says_so_under_verbose(folder: Path, prompts: Path) -> None:
    _, _, events = answer(folder, prompts, limit=1000)
    assert notices(events) == [
        Notice("the prompt was not kept: a block of 1 MB is more than prompt_cache_mb allows", True)
    ]
    assert not prompts.exists()


def notices(events: list[Event]) -> list[Event]:
    assert isinstance(events[-1], Done)
    return [event for event in events if isinstance(event, Notice)]


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def emptied(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def foreign(file: Path) -> None:
    """Whole in itself, and another's."""
    save_file({"keys": torch.zeros(1), "values": torch.zeros(1)}, file)
    shutil.move(file, file.with_name(f"{file.name.partition('-')[0]}-{crc(file)}.safetensors"))


def crc(file: Path) -> str:
    from zlib import crc32

    return f"{crc32(file.read_bytes()):08x}"


@pytest.mark.parametrize("damage", [truncated, emptied, flipped, foreign])
def test_damaged_files_are_removed_and_written_anew(damage: object, folder: Path, prompts: Path) -> None:
    wanted = answer(folder, prompts)[0]
    for file in kept(prompts):
        damage(file)  # type: ignore[operator]
    damaged = {file.name: crc(file) for file in kept(prompts)}
    assert answer(folder, prompts)[:2] == (wanted, 0)
    # The first was found out and written anew; the others are, as they come to be read.
    for whole in (1, 2, 3):
        assert answer(folder, prompts)[:2] == (wanted, whole * BLOCK)
    assert not damaged.items() & {file.name: crc(file) for file in kept(prompts)}.items()
    assert len(kept(prompts)) == 3


def test_a_disk_that_is_full_fails_no_answer(folder: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lmcli.engine.prefix_store.save_file", full)
    found, _, events = answer(folder, prompts)
    assert found == answer(folder, None)[0]
    assert notices(events) == [Notice("the prompt was not kept: [Errno 28] No space left on device", True)]
    assert kept(prompts) == []


@pytest.mark.skipif(sys.platform == "win32", reason="permissions")
def test_a_folder_that_cannot_be_written_fails_no_answer(folder: Path, prompts: Path) -> None:
    prompts.parent.mkdir()
    prompts.write_text("a file where the folder should be")  # Permissions would not stop root.
    found, cached, events = answer(folder, prompts)
    assert (found, cached) == (answer(folder, None)[0], 0)
    assert len(notices(events)) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_read(folder: Path, prompts: Path) -> None:
    answer(folder, prompts, LONG[:75])
    prompts.chmod(0o500)
    assert answer(folder, prompts)[1] == BLOCK
    prompts.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions")
def test_nobody_else_may_look_into_the_folder(folder: Path, prompts: Path) -> None:
    prompts.mkdir(parents=True, mode=0o755)
    answer(folder, prompts)
    assert stat.S_IMODE(prompts.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in kept(prompts)} == {0o600}


def ask_again_and_again(folder: Path, prompts: Path, limit: int, texts: list[str], told: object) -> None:
    torch.set_num_threads(1)
    generation.BLOCK = prefix_store.BLOCK = BLOCK
    told.put([answer(folder, prompts, text, limit=limit)[0] for text in texts])  # type: ignore[attr-defined]


def test_two_processes_at_once_answer_as_one_does_alone(folder: Path, prompts: Path) -> None:
    texts = [LONG, LONG[::-1], LONG.upper(), LONG]
    wanted = [answer(folder, None, text)[0] for text in texts]
    answer(folder, prompts)
    limit = sum(file.stat().st_size for file in kept(prompts)) * 4 // 3  # so that each removes the other's
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    both = [
        context.Process(target=ask_again_and_again, args=(folder, prompts, limit, texts, told), daemon=True)
        for _ in range(2)
    ]
    for process in both:
        process.start()
    assert [told.get(timeout=120) for _ in both] == [wanted, wanted]
    for process in both:
        process.join(30)
    assert not list(prompts.glob("*.part"))


def test_what_a_killed_process_left_is_cleared_away_in_time(folder: Path, prompts: Path) -> None:
    prompts.mkdir(parents=True)
    old, new = prompts / "old.part", prompts / "new.part"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    answer(folder, prompts)
    assert (old.exists(), new.exists()) == (False, True)


def test_the_fingerprint_of_an_untouched_checkpoint_stays(folder: Path) -> None:
    before = fingerprint(folder)
    (folder / "README.md").write_text("A model card is no weight.")
    assert fingerprint(folder) == before


def test_cache_prompt_works_from_the_command_line_and_rm_forgets_it(folder: Path, tmp_path: Path) -> None:
    variables = {"LMCLI_CACHE": str(tmp_path / "cache"), "LMCLI_MODEL": str(folder), "LMCLI_DEVICE": "cpu"}
    arguments = ("generate", LONG, "--max-tokens", "8", "--json")
    plain, first, second = (
        json.loads(run(*arguments, *flags, variables=variables).stdout)
        for flags in ((), ("--cache-prompt",), ("--cache-prompt",))
    )
    assert plain["text"] == first["text"] == second["text"]
    assert [record["usage"]["cached_tokens"] for record in (plain, first, second)] == [0, 0, 3 * BLOCK]
    size = sum(file.stat().st_size for file in kept(tmp_path / "cache" / "prompts"))
    told = json.loads(run("rm", "--prompts", "--json", variables=variables).stdout)
    assert told == {"removed": "prompts", "freed_bytes": size}
    assert not kept(tmp_path / "cache" / "prompts")
    assert run("rm", "--prompts", variables=variables).code == 0


def test_a_limit_of_0_keeps_nothing(folder: Path, tmp_path: Path) -> None:
    variables = {"LMCLI_CACHE": str(tmp_path / "cache"), "LMCLI_MODEL": str(folder), "LMCLI_PROMPT_CACHE_MB": "0"}
    told = run("generate", LONG, "--max-tokens", "2", "--cache-prompt", "-v", variables=variables)
    assert told.code == 0
    assert "kept" not in told.stderr
    assert not (tmp_path / "cache").exists()


def run(*arguments: str, variables: dict[str, str]) -> Result:
    """The program with the real engine."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code = cli.run(list(arguments), Environment(io.BytesIO(), stdout, stderr, variables, engine.load))
    return Result(code, stdout.getvalue(), stderr.getvalue())


def test_the_files_are_fingerprinted_only_where_prompts_are_kept(
    folder: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []

    def take(path: Path) -> str:
        taken.append(path)
        return fingerprint(path)

    monkeypatch.setattr(prefix_store, "fingerprint", take)
    load(folder, None)
    load(folder, prompts, limit=0)
    assert not taken
    load(folder, prompts)
    assert taken == [folder]
