"""The bench: what it says is what it measured, nobody disturbs anybody, and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
import tiny
import torch
from safetensors.torch import load_file
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli import bench, engine
from lmcli.bench import contestants, rounds
from lmcli.bench.plan import Plan
from lmcli.bench.process import Crashed, Worker, seconds_to_first_byte
from lmcli.bench.report import Machine, Report, Result, SideReport, Spread, rows
from lmcli.bench.rounds import relative_error, speedup
from lmcli.bench.sides import gguf, ours, question
from lmcli.bench.work import read_work
from lmcli.checkpoints.checkpoint import read
from lmcli.checkpoints.gguf import config, file, weights
from lmcli.engine.linear import can_pack
from lmcli.engine.tokenizer import FastTokenizer
from lmcli.errors import CheckpointError, LmcliError, UsageError
from lmcli.tasks.prompts import summary
from lmcli.tasks.summary_form import Size, SummaryForm
from lmcli.types import Checkpoint

OPTIONS = {"device": "cpu", "dtype": "auto", "trust_remote_code": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with random weights."""
    path = tmp_path_factory.mktemp("bench") / "tiny-llama"
    tiny.save(path, tiny.config("llama"))
    return path


@pytest.fixture(scope="module")
def known(folder: Path) -> Checkpoint:
    return read(folder, "tiny-llama")


@pytest.fixture(autouse=True)
def few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers' matrices are tiny: one thread is faster, and much faster on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def request(known: Checkpoint, side: str = "lmcli", kind: str | None = None) -> dict[str, Any]:
    fields = {**vars(known), "path": str(known.path)}
    return {"side": side, "checkpoint": fields, "kind": kind, "device": "cpu", "threads": 1, "options": OPTIONS}


def test_a_run_from_the_command_line_gives_every_number_as_json(folder: Path) -> None:
    arguments = ["bench", str(folder), "--against", "transformers", "--rounds", "1", "--tokens", "4", "--json"]
    lengths = ["--contexts", "8,16", "--prompt-lengths", "32", "--text-tokens", "300", "--answer-tokens", "9"]
    result = invoke(*arguments, *lengths)
    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["task"], report["checkpoint"], report["rounds"], report["tokens"]) == ("bench", "tiny-llama", 1, 4)
    measured = {(r["measure"], r["size"], r["side"]) for r in report["results"]}
    both = {("decode", 8), ("decode", 16), ("prefill", 32), ("ttft", 24), ("cold", 1)}
    assert {(*task, side) for task in both for side in ("lmcli", "transformers")} <= measured
    assert all(r["low"] <= r["median"] <= r["high"] and r["low"] > 0 for r in report["results"])
    answers = [r for r in report["results"] if r["measure"] == "answer"]
    assert [(r["side"], r["size"], r["tokens"]) for r in answers] == [("lmcli", 300, 9), ("transformers", 300, 9)]
    assert answers[1]["passes"] == 8
    ours, theirs = report["sides"]
    assert theirs["logits_error"] < 0.01
    assert min(side["peak_anonymous_bytes"] for side in (ours, theirs)) > 1_000_000
    assert report["machine"]["bandwidth"]["median"] > 1e8
    assert report["machine"]["flops"]["float32"]["median"] > 1e8


def test_a_measurement_alone_is_measured_alone_and_read_as_a_table(folder: Path) -> None:
    arguments = ["--measure", "decode", "--contexts", "8,600", "--rounds", "2", "--tokens", "4"]
    result = invoke("bench", str(folder), *arguments)
    first, *others = result.stdout.splitlines()
    assert first.startswith("decode behind 8 tokens\tlmcli\t")
    assert "GB/s" in first
    assert [line.split("\t")[0] for line in others] == ["peak memory"]
    assert "decode of 600 is left out: the context of tiny-llama holds 512 tokens" in result.stderr


def test_a_peer_that_is_not_installed_is_told_with_the_way_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "find_spec", lambda module: None if module == "llama_cpp" else object())
    result = invoke("bench", str(folder), "--against", "llama.cpp:q8_0")
    assert result.code == 2
    assert result.stderr.splitlines() == [
        "lmcli: llama.cpp is not installed", "  hint: install it beside lmcli: pip install llama-cpp-python"
    ]  # fmt: skip


def test_a_peer_nobody_knows_and_lengths_that_are_none_are_refused() -> None:
    assert invoke("bench", "--against", "ollama").code == 2
    assert "'128,x'" in invoke("bench", "--prompt-lengths", "128,x").stderr
    assert invoke("bench", "--contexts", "0").code == 2


def test_a_checkpoint_that_writes_no_text_is_refused() -> None:
    engine = ScriptedEngine(checkpoint=checkpoint("classifier"))
    result = invoke("bench", engine=engine)
    assert result.code == 2
    assert "bench measures causal checkpoints" in result.stderr


def test_workers_end_with_the_run_even_where_it_fails(known: Checkpoint, tmp_path: Path) -> None:
    plan = Plan(tmp_path, ("transformers",), OPTIONS | {"device": "cuda:99"}, rounds=1)
    with pytest.raises(UsageError, match="cuda:99"):
        bench.run(known, plan)
    assert not [child for child in psutil.Process().children(recursive=True) if "bench" in " ".join(child.cmdline())]
    assert list(tmp_path.iterdir()) == []


def programs(folder: Path) -> list[psutil.Process]:
    """The processes that name `folder` or run for the one that does."""
    found = []
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("LMCLI_STATE") == str(folder):
            found.append(process)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_being_ended_leaves_no_process_and_no_file_behind(folder: Path, tmp_path: Path, end: signal.Signals) -> None:
    places = {"LMCLI_CACHE": str(tmp_path / "cache"), "LMCLI_STATE": str(tmp_path)}
    arguments = ["bench", str(folder), "--against", "transformers", "--measure", "decode", "--rounds", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lmcli", *arguments], env=os.environ | places, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    expected = 4  # itself, the machine's worker, one a side
    deadline = time.monotonic() + 60
    while len(programs(tmp_path)) < expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(programs(tmp_path)) >= expected
    os.killpg(process.pid, end)
    _, shown = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in shown
    assert programs(tmp_path) == []
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_worker_ends_with_its_parent_however_that_ended(tmp_path: Path) -> None:
    program = (
        "import time; from lmcli.bench.process import Worker; w = Worker('w'); print('up', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"LMCLI_STATE": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        parent.kill()
    deadline = time.monotonic() + 20
    while programs(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert programs(tmp_path) == []


def test_a_side_that_waits_takes_no_processor_from_the_other(known: Checkpoint) -> None:
    with Worker("lmcli") as worker:
        worker.ask("load", **request(known))
        worker.ask("decode", prompt=[1, 2, 3], steps=4)
        time.sleep(0.1)
        process = psutil.Process(worker._process.pid)
        before = sum(process.cpu_times()[:2])
        time.sleep(0.5)
        assert sum(process.cpu_times()[:2]) - before < 0.1


def test_what_goes_wrong_in_a_worker_arrives_as_what_it_is(known: Checkpoint, tmp_path: Path) -> None:
    with Worker("peer") as worker:
        gone = replace(known, path=tmp_path / "gone")
        with pytest.raises(CheckpointError, match="peer: cannot load the checkpoint"):
            worker.ask("load", **request(gone, "transformers"))
        with pytest.raises(RuntimeError, match="AssertionError"):
            worker.ask("decode", prompt=[1], steps=1)  # nothing is loaded: a bug of whoever asks so
        os.kill(worker._process.pid, signal.SIGSEGV if sys.platform != "win32" else signal.SIGTERM)
        with pytest.raises(Crashed, match="peer was ended by signal 11"):
            worker.ask("machine", what="describe", device="cpu")


def test_a_module_in_the_users_folder_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "psutil.py").write_text("raise SystemExit('taken from the wrong place')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with Worker("the machine") as worker:
        assert worker.ask("machine", what="describe", device="cpu")["memory_bytes"] > 0


def test_a_cold_start_ends_at_the_first_byte_and_a_failing_one_is_an_error() -> None:
    program = [sys.executable, "-c", "import time; print('x', flush=True); time.sleep(0.6)"]
    start = time.perf_counter()
    seconds = seconds_to_first_byte("it", program)
    assert seconds < time.perf_counter() - start - 0.5
    with pytest.raises(LmcliError, match="it ended with code 1: broken"):
        seconds_to_first_byte("it", [sys.executable, "-c", "raise SystemExit('broken')"])


class Scripted:
    """A worker whose answers are a list: sides take turns, and each round another begins."""

    def __init__(self, name: str, seconds: Sequence[float], log: list[tuple[str, str]], batches: bool = False) -> None:
        self.name, self.seconds, self.log, self.batches = name, iter(seconds), log, batches
        self.memory = SimpleNamespace(peaks=lambda: (2_000_000, 1_000_000))

    def ask(self, do: str, **arguments: Any) -> Any:
        self.log.append((self.name, do))
        if do == "load":
            return {
                "version": "1", "precision": "cpu, float32", "load_seconds": 1.0, "bytes_per_weight": 4.0,
                "bytes_per_cached": 4.0, "prefill_dtype": "float32", "context_length": 512, "batches": self.batches,
            }  # fmt: skip
        if do == "logits":
            return [float(i % 7) * (1 if self.name != "stranger" else (-1) ** i) for i in arguments["ids"]]
        if do == "machine":
            return 1e9
        return None if do == "device_memory" else next(self.seconds)


def scripted(
    known: Checkpoint, tmp_path: Path, measures: tuple[str, ...], *workers: Scripted, notices: list[str] | None = None
) -> Report:
    plan = Plan(tmp_path, (), OPTIONS, rounds=2, tokens=10, contexts=(8,), prompts=(16,), measures=measures)
    described = {
        "cpu": "a CPU", "cores": 2, "threads": 2, "memory_bytes": 1, "system": "Linux", "python": "3", "torch": "2",
        "device": "cpu",
    }  # fmt: skip
    loaded = [contestants.Contestant(worker.name, worker, {}, []) for worker in workers]  # type: ignore[arg-type]
    machine: Any = Scripted("the machine", [], workers[0].log)
    seen = notices if notices is not None else []
    return rounds._Bench(
        known, plan, machine, described, loaded, lambda event: seen.append(getattr(event, "text", ""))
    ).run()


def test_sides_take_turns_and_are_compared_within_a_round(known: Checkpoint, tmp_path: Path) -> None:
    log: list[tuple[str, str]] = []
    # warm-up, then two rounds: the machine was half as fast in the second
    a, b = Scripted("lmcli", [9, 1.0, 2.0], log), Scripted("transformers", [9, 3.0, 4.0], log)
    report = scripted(known, tmp_path, ("decode",), a, b)
    turns = [name for name, do in log if do == "decode"]
    assert turns == ["lmcli", "transformers", "transformers", "lmcli", "lmcli", "transformers"]
    ours, theirs = report.results
    assert ours.samples == (10.0, 5.0)
    assert ours.speedup is None
    assert theirs.spread == Spread(pytest.approx(2.9167, abs=1e-3), 2.5, pytest.approx(10 / 3))
    assert theirs.speedup == Spread(2.5, 2.0, 3.0)


def test_seconds_are_compared_the_other_way_round() -> None:
    assert speedup([1.0, 2.0], [2.0, 6.0], "s") == Spread(2.5, 2.0, 3.0)
    assert speedup([4.0], [2.0], "tokens/s") == Spread(2.0, 2.0, 2.0)


def test_a_side_that_decodes_one_conversation_has_no_part_in_batches(known: Checkpoint, tmp_path: Path) -> None:
    log: list[tuple[str, str]] = []
    a, b = Scripted("lmcli", [], log), Scripted("transformers", [0.5] * 15, log, batches=True)
    report = scripted(known, tmp_path, ("batch",), a, b)
    assert {(r.side, r.size) for r in report.results} == {("transformers", size) for size in (1, 2, 4, 8, 16)}
    assert [r.spread.median for r in report.results] == [20.0, 40.0, 80.0, 160.0, 320.0]


def test_a_peer_that_runs_another_model_is_noticed(known: Checkpoint, tmp_path: Path) -> None:
    log: list[tuple[str, str]] = []
    notices: list[str] = []
    sides = [Scripted(name, [1.0] * 3, log) for name in ("lmcli", "twin", "stranger")]
    report = scripted(known, tmp_path, ("ttft",), *sides, notices=notices)
    assert [side.logits_error for side in report.sides[:2]] == [None, 0.0]
    assert len([text for text in notices if "stranger" in text and "same model" in text]) == 1
    assert not [text for text in notices if "twin" in text]


def test_logits_that_differ_by_a_constant_are_the_same() -> None:
    assert relative_error([1.0, 2.0, 4.0], [11.0, 12.0, 14.0]) == pytest.approx(0)
    assert relative_error([1.0, -1.0], [-1.0, 1.0]) == pytest.approx(2)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_the_work_of_a_token_is_that_of_its_matrices(tmp_path: Path, family: str) -> None:
    model = tiny.save(tmp_path, tiny.config(family, tie_word_embeddings=family == "qwen3", head_dim=16))
    work = read_work(read(tmp_path, "tiny"))
    assert work is not None
    linears = [m.weight.numel() for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    assert work.weights == sum(linears)  # the head among them, tied or not
    cached = model(torch.ones(1, 5, dtype=torch.long), use_cache=True).past_key_values
    elements = sum(layer.keys.numel() + layer.values.numel() for layer in cached.layers)
    assert work.decode_bytes(5, 2.0, 4.0) == work.weights * 2 + elements * 4
    T, head = 12, tiny.VOCAB_SIZE * 64
    attention = 2 * T * T * 3 * 4 * 16  # Q·K and A·V over half of T × T in 3 layers of 4 heads of 16
    assert work.prefill_flops(T) == 2 * T * (sum(linears) - head) + 2 * head + attention


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_a_gpu_is_measured_faster_than_any_cpu() -> None:
    from lmcli.bench.sides import machine

    assert machine.bandwidth("cuda") > 1e11
    assert machine.flops("cuda", "float16") > 1e12


@pytest.mark.skipif(not (can_pack(8) and can_pack(4)), reason="no products in 8 and 4 bits in this torch")
@pytest.mark.parametrize("bits", [8, 4])
def test_the_work_of_packed_weights_is_that_of_the_checkpoint_they_were_made_of(
    bits: int, tmp_path: Path, one_thread: None
) -> None:
    # Each linear layer of 64 or 96 columns can be kept in 4 bits.
    tiny.save(tmp_path / "whole", tiny.config("llama", intermediate_size=96))
    whole = read(tmp_path / "whole", "whole")
    engine.quantize(whole, tmp_path / "small", bits, lambda event: None)
    small = read(tmp_path / "small", "small")
    work = read_work(whole)
    assert work is not None
    assert read_work(small) == work
    facts = ours.load({**vars(small), "path": str(small.path)}, OPTIONS).facts
    # The head is in 8 bits beside layers in 4 with a scale and a zero point in bf16 for each 32.
    body = {8: 1.0, 4: 0.5 + 2 * 2 / 32}[bits]
    assert facts.bytes_per_weight * work.weights == pytest.approx(work.layer_weights * body + work.head_weights)


def test_a_mixture_of_experts_gets_no_share_of_the_machine(known: Checkpoint, tmp_path: Path) -> None:
    shutil.copytree(known.path, tmp_path / "moe")
    config = tiny.read(tmp_path / "moe" / "config.json") | {"num_experts": 8}
    (tmp_path / "moe" / "config.json").write_text(json.dumps(config))
    assert read_work(replace(known, path=tmp_path / "moe")) is None


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "llama-3"])
def test_the_gguf_file_for_llama_cpp_holds_the_same_model(tmp_path: Path, family: str) -> None:
    rope = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    stretched = {"rope_parameters": rope} if family == "llama-3" else {}
    tiny.save(tmp_path / "model", tiny.config(family.split("-")[0], tie_word_embeddings=False, **stretched))
    known = read(tmp_path / "model", "tiny")
    written = gguf.write({"path": str(known.path), "dtype": "float32"}, None, str(tmp_path))
    assert (written["kind"], written["bytes_per_weight"]) == ("f32", 4.0)
    # lmcli reads it back as it reads the files that llama.cpp's own converter makes.
    source = file.read(Path(written["gguf"]))
    weights.write(source, tmp_path / "back.safetensors", "float32", lambda event: None)
    back, original = load_file(tmp_path / "back.safetensors"), load_file(known.path / "model.safetensors")
    assert back.keys() == original.keys()
    assert all(torch.equal(back[name], original[name]) for name in original)
    fields, own = config.config(source, weights.frequencies(source), "float32"), tiny.read(known.path / "config.json")
    names = ("vocab_size", "hidden_size", "num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings")
    assert {name: fields[name] for name in names} == {name: own.get(name, 16) for name in names}
    assert fields["rope_parameters"] == {"rope_type": "default", "rope_theta": 10000.0} | own["rope_parameters"]


@pytest.mark.parametrize("changes", [{"model_type": "gpt2"}, {"some_new_field": 3}, {"sliding_window": 64}])
def test_what_llama_cpp_would_run_otherwise_is_refused(
    known: Checkpoint, tmp_path: Path, changes: dict[str, Any]
) -> None:
    shutil.copytree(known.path, tmp_path / "other")
    mistral = {"model_type": "mistral"} if "sliding_window" in changes else {}
    fields = tiny.read(known.path / "config.json") | mistral | changes
    (tmp_path / "other" / "config.json").write_text(json.dumps(fields))
    with pytest.raises(UsageError, match="no GGUF file can be written of"):
        gguf.write({"path": str(tmp_path / "other"), "dtype": "float32"}, None, str(tmp_path))


def test_a_tied_head_is_written_once_and_counted(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("llama", tie_word_embeddings=True).__class__(
        **tiny.DIMENSIONS, tie_word_embeddings=True), seed=1)  # fmt: skip
    written = gguf.write({"path": str(tmp_path), "dtype": "float32"}, "bf16", str(tmp_path))
    assert Path(written["gguf"]).name == "bf16.gguf"
    assert written["bytes_per_weight"] == 2.0
    assert "output.weight" not in file.read(Path(written["gguf"])).tensors


def test_our_side_decodes_all_of_a_batch_side_by_side(known: Checkpoint, one_thread: None) -> None:
    side = ours.load({**vars(known), "path": str(known.path)}, OPTIONS)
    fed: list[list[list[int]]] = []
    batch = side._engine.decoder.batch

    def watched(rows: int, longest: int) -> Any:
        found: Any = batch(rows, longest)
        found.rows = 3  # as if no more were to fit
        forward = found.forward
        found.forward = lambda tokens: (fed[-1].append(tokens), forward(tokens))[1]
        fed.append([])
        return found

    prompts = [[65, 66, 67], [70, 71, 72], [80, 81, 82], [90, 91, 92]]
    side._engine.decoder.batch = watched
    assert side.batch(prompts, 5) > 0
    assert [len(tokens) for tokens in fed[0]] == [3] * 5 + [1] * 5
    # What a row is fed is what its prompt is continued with alone.
    for row, prompt in enumerate(prompts):
        first = 0 if row < 3 else 5
        assert [tokens[row % 3] for tokens in fed[0][first : first + 5]] == greedy(side, prompt, 5)


def test_a_batch_of_one_is_a_conversation_alone(known: Checkpoint, one_thread: None) -> None:
    side = ours.load({**vars(known), "path": str(known.path)}, OPTIONS)
    assert side.batch([[65, 66, 67]], 5) > 0
    assert side._engine.decoder.tokens == [65, 66, 67, *greedy(side, [65, 66, 67], 5)]


def greedy(side: Any, prompt: list[int], count: int) -> list[int]:
    side.reset()
    tokens = [side.feed(prompt)]
    while len(tokens) < count:
        tokens.append(side.feed(tokens[-1:]))
    return tokens


@pytest.mark.parametrize("side", ["ours", "transformers"])
def test_an_answer_has_as_many_tokens_as_asked_whatever_ends_one(
    side: str, known: Checkpoint, tmp_path: Path, one_thread: None
) -> None:
    shutil.copytree(known.path, tmp_path / "terse")
    for name in ("config.json", "generation_config.json"):
        fields = tiny.read(tmp_path / "terse" / name) if (tmp_path / "terse" / name).exists() else {}
        every = {"eos_token_id": list(range(tiny.VOCAB_SIZE))}
        (tmp_path / "terse" / name).write_text(json.dumps(fields | every))
    terse = read(tmp_path / "terse", "terse")
    module: Any = import_module(f"lmcli.bench.sides.{side}")
    loaded = module.load(**request(terse))
    loaded.reset()
    prompt = [65, 66, 67] * 20
    passes = loaded.answer(prompt, 40)
    assert 40 / 8 <= passes <= 39
    if side == "ours":  # Where it goes round in circles the guesses come true: what it wrote is greedy all the same.
        written = loaded._engine.decoder.tokens[len(prompt) :]
        assert passes < 39
        assert written == greedy(loaded, prompt, 40)[: len(written)]


def test_the_question_is_a_summary_of_as_much_text_as_fits(known: Checkpoint) -> None:
    fields = {**vars(known), "path": str(known.path)}
    tokenizer = FastTokenizer(known.path)
    cut = question.write(fields, "One word and another. " * 200, 500, 20)
    assert 492 <= len(cut) <= 500
    assert tokenizer.decode(cut).count("One word") > 5
    whole = question.write(fields, "A short text.", 500, 20)
    assert len(whole) < 300
    assert "A short text." in tokenizer.decode(whole)
    assert tokenizer.decode(whole) in tokenizer.decode(
        tokenizer.encode(
            summary("A short text.", SummaryForm(Size(40), source="en", language="en"), tokenizer.template is not None)
        )
    )


def test_a_text_that_is_too_short_or_too_long_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("A short note.")
    arguments = ["bench", str(folder), "--measure", "answer", "--rounds", "1", "--answer-tokens", "4"]
    result = invoke(*arguments, "--text", str(tmp_path / "note.txt"))
    assert "with what is asked about it the text has" in result.stderr
    assert re.match(r"4 tokens about \d+\tlmcli\t\d", result.stdout)
    assert "answer of 600 is left out" in invoke(*arguments, "--text-tokens", "600").stderr
    assert "gone.txt" in invoke(*arguments, "--text", "gone.txt").stderr


def test_llama_cpp_that_crashes_over_its_own_layout_is_measured_without_it(
    known: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its quantized weights crash on some CPUs with AMX."""
    loads: list[dict[str, Any]] = []

    class Peer(Scripted):
        def __init__(self, name: str) -> None:
            super().__init__(name, [], [])

        def __enter__(self) -> Peer:
            return self

        def __exit__(self, *_: object) -> None:
            loads.append({"ended": True})

        def ask(self, do: str, **arguments: Any) -> Any:
            if do == "write_gguf":
                return {"gguf": "q8_0.gguf", "kind": "q8_0", "bytes_per_weight": 1.0625}
            loads.append(arguments)
            if arguments.get("repack", True):
                raise Crashed("llama.cpp:q8_0 was ended by signal 11")
            return super().ask(do, **arguments)

    monkeypatch.setattr(contestants, "Worker", Peer)
    notices: list[str] = []
    plan = Plan(tmp_path, ("llama.cpp:q8_0",), OPTIONS)
    machine: Any = Peer("the machine")
    with ExitStack() as stack:
        described = {"device": "cpu", "threads": 2}
        contestants.enter(
            "llama.cpp:q8_0", known, plan, described, machine, stack, lambda event: notices.append(event.text)  # type: ignore[union-attr]
        )  # fmt: skip
    assert [(load["gguf"], load.get("repack"), load["context"]) for load in loads[:2]] == [
        ("q8_0.gguf", None, 601), ("q8_0.gguf", False, 601)
    ]  # fmt: skip
    assert loads[2:] == [{"ended": True}] * 2
    assert any("crashes" in text for text in notices)


def test_the_table_says_what_was_measured() -> None:
    machine = Machine("cpu", 2, 2, 1, "Linux", "3", "2", "cpu", Spread(1, 1, 1), {"float32": Spread(2, 1, 3)})
    faster = Spread(2.0, 1.9, 2.1)
    result = Result(
        "decode", 32, "tokens/s", "transformers", (10.0, 12.0), faster, Spread(2e9, 2e9, 2e9), Spread(0.5, 0.5, 0.5)
    )
    side = SideReport("lmcli", "1", "cpu", 1.0, None, 2_000_000, 1_000_000)
    report = Report("m", "llama", 1, 1, "float32", {"dtype": "auto"}, 2, 4, machine, (side,), (result,))
    assert [tuple(row.values()) for row in rows(report)] == [
        ("decode behind 32 tokens", "transformers", "11.0 tokens/s", "10.0–12.0", "2.00× as fast (1.90–2.10)",
         "2 GB/s, 50%"),
        ("peak memory", "lmcli", "2 MB", "1 MB of its own", "", ""),
    ]  # fmt: skip
    assert Report.read(json.loads(json.dumps(report.record()))) == report
    answer = Result("answer", 1500, "s", "lmcli", (3.0,), tokens=100, passes=80)
    assert tuple(rows(replace(report, sides=(), results=(answer,)))[0].values()) == (
        "100 tokens about 1500", "lmcli", "3.00 s", "3.00–3.00", "", "in 80 passes"
    )  # fmt: skip


def test_a_plot_has_a_bar_as_long_as_what_was_measured(known: Checkpoint, tmp_path: Path) -> None:
    log: list[tuple[str, str]] = []
    sides = [Scripted("lmcli", [9, 1, 1] + [1] * 15, log, True), Scripted("a & b", [9, 4, 4] + [2] * 15, log, True)]
    report = scripted(known, tmp_path, ("decode", "batch"), *sides)
    performance: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "performance.py"))
    drawn = ElementTree.fromstring(performance["plot"](report))
    bars = [float(bar.attrib["width"]) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars[0] == pytest.approx(4 * bars[1], rel=0.01)
    curves = [line.attrib["points"].split() for line in drawn.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in curves] == [5, 5]
    answer = Result("answer", 300, "s", "lmcli", (1.0,), tokens=20, passes=15)
    assert performance["command"](replace(report, results=(answer,))).endswith(
        "--text-tokens 300 --answer-tokens 20 --device cpu"
    )
    assert "<text x='12' y='28' font-weight='bold'>20 tokens about 300, s (less is better)</text>" in performance[
        "plot"
    ](replace(report, results=(answer,)))
    text = performance["section"]("tiny", report)
    assert "lmcli bench tiny-llama --against a & b --rounds 2 --tokens 10 --contexts 8 --device cpu" in text
    assert "| decode behind 8 tokens | lmcli | 10.0 tokens/s | 10.0–10.0 | |" in text
    assert "| | a & b | 2.5 tokens/s | 2.5–2.5 | 4.00× as fast (4.00–4.00) |" in text


def test_the_cold_start_is_that_of_the_same_options() -> None:
    options = {
        "device": "cpu",
        "dtype": "auto",
        "bits": 8,
        "low_memory": True,
        "context": None,
        "trust_remote_code": False,
    }
    assert contestants.flags(options) == ["--device", "cpu", "--dtype", "auto", "--bits", "8", "--low-memory"]
