"""Fine-tuning and pre-training: what a run learns, that it is repeatable and can be resumed, and what it refuses."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_translators
import torch
import transformers
from safetensors.torch import load_file
from scripted import Result, invoke

from lmcli import checkpoints, engine, training
from lmcli.data.examples import Example
from lmcli.errors import UsageError
from lmcli.settings import load
from lmcli.training.gpu import choose_gpu
from lmcli.training.log import TrainingLog
from lmcli.training.plan import Plan
from lmcli.training.recipe import Recipe
from lmcli.training.tokenizer import TokenizerPlan, train_tokenizer, write_tokenizer
from lmcli.types import Event, LoadOptions, Message, TrainingStep

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    folder = tmp_path / "encoder"
    folder.mkdir()
    tiny_translators.bert(folder, initializer_range=0.1)
    return folder


@pytest.fixture
def decoder(tmp_path: Path) -> Path:
    folder = tmp_path / "decoder"
    tiny.save(folder, tiny.config("llama", initializer_range=0.05))
    return folder


def reviews(file: Path, count: int = 200) -> Path:
    """Rows whose label a single word tells."""
    chance = random.Random(0)
    rows = []
    for _ in range(count):
        label = chance.choice(["good", "bad"])
        words = chance.sample(["cat", "mat", "moon", "station", "church", "book", "evening", "rain", "day"], 4)
        rows.append({"text": " ".join([*words, "morning" if label == "good" else "sleep"]), "label": label})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def plan(tmp_path: Path, start: Path, name: str, **fields: Any) -> Plan:
    chance = random.Random(1)
    examples = [
        Example(" ".join([*chance.choices(["cat", "moon", word], k=4), word]), label)
        for word, label in [("rain", "bad"), ("book", "good")]
        for _ in range(24)
    ]
    recipe = Recipe("classify", **({"epochs": 2, "batch_size": 4, "evaluate_every": 5, "seed": 3} | fields))
    found = tiny.checkpoint(start, "bert", "encoder")
    return Plan(recipe, examples, examples[::3], tmp_path / name, found, device="cpu", dtype="float32")


def steps(folder: Path) -> list[tuple[int, float]]:
    return [(event.step, event.loss) for event in TrainingLog(folder).events() if isinstance(event, TrainingStep)]


def logged(run: Plan, stop_at: int | None = None) -> Callable[[Event], None]:
    """Keeps the run's log, and is interrupted where it is told to."""

    def report(event: Event) -> None:
        if isinstance(event, TrainingStep):
            TrainingLog(run.folder).append(event)
            if event.step == stop_at:
                raise KeyboardInterrupt

    return report


def finetune(*arguments: str) -> Result:
    return invoke("finetune", "--device", "cpu", *arguments)


def test_a_classifier_learns_from_a_file_and_serves_at_once(encoder: Path, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.jsonl")
    folder = tmp_path / "mine"
    result = finetune(
        "--task", "classify", "-m", str(encoder), str(file), "-o", f"{folder}", "--epochs", "4", "--learning-rate",
        "2e-3", "--batch-size", "8", "--json",
    )  # fmt: skip
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["accuracy"] > 0.9
    found = checkpoints.find(str(folder), load({}))
    assert found is not None
    opened: Any = engine.load(found, LoadOptions("cpu", "float32"))
    good, bad = opened.classify(["the cat morning", "the cat sleep"])
    assert good["good"] > 0.6 > 0.4 > bad["good"]
    assert {"README.md", "losses.svg", "training_log.jsonl"} <= {path.name for path in folder.iterdir()}
    assert not (folder / ".training").exists()


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(encoder: Path, tmp_path: Path) -> None:
    for name, seed in [("one", 3), ("two", 3), ("three", 4)]:
        run = plan(tmp_path, encoder, name, seed=seed)
        training.prepare(run, logged(run)).train()
    assert steps(tmp_path / "one") == steps(tmp_path / "two") != steps(tmp_path / "three")
    assert len(steps(tmp_path / "one")) == 24


def test_a_run_that_was_stopped_comes_to_the_same_checkpoint_as_one_that_was_not(encoder: Path, tmp_path: Path) -> None:
    unbroken = plan(tmp_path, encoder, "unbroken")
    training.prepare(unbroken, logged(unbroken)).train()
    broken = plan(tmp_path, encoder, "broken")
    with pytest.raises(KeyboardInterrupt):
        training.prepare(broken, logged(broken, stop_at=13)).train()
    (broken.folder / ".training" / "checkpoint-99").mkdir()  # A kill while a checkpoint is written leaves half of one.
    again = Plan(**(vars(broken) | {"resume": True}))
    notices: list[Event] = []
    training.prepare(again, lambda event: (notices.append(event), logged(again)(event))[-1]).train()
    assert "going on from step 10" in str(notices[0])
    assert steps(broken.folder) == steps(unbroken.folder)
    first, second = (load_file(run.folder / "model.safetensors") for run in (unbroken, broken))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("validated", [True, False])
def test_a_run_that_was_stopped_before_it_was_written_takes_no_step_more(
    validated: bool, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    folders = []
    for name in ("unbroken", "broken"):
        run = plan(tmp_path, encoder, name, max_steps=6)
        run = run if validated else Plan(**(vars(run) | {"validation": []}))
        folders.append(run.folder)
        if name == "broken":
            begun = training.prepare(run, logged(run))
            with monkeypatch.context() as patch:
                patch.setattr("lmcli.training.run._write", stop)
                with pytest.raises(KeyboardInterrupt):
                    begun.train()
            run = Plan(**(vars(run) | {"resume": True}))
        outcome = training.prepare(run, logged(run)).train()
        assert outcome is not None
        assert outcome.steps == 6
    first, second = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_resuming_asks_for_the_same_run(encoder: Path, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.jsonl")
    command = ["--task", "classify", "-m", str(encoder), str(file), "-o", str(tmp_path / "mine")]
    broken = plan(tmp_path, encoder, "mine", seed=0)
    with pytest.raises(KeyboardInterrupt):
        training.prepare(broken, logged(broken, stop_at=7)).train()
    again = finetune(*command)
    assert (again.code, "--resume" in again.stderr) == (2, True)
    recipe = ["--epochs", "2", "--batch-size", "4", "--evaluate-every", "5", "--dtype", "float32", "--resume"]
    file.write_text("")  # What the data is does not matter before.
    for changed, said in (
        (["--learning-rate", "0.5"], "with --learning-rate 5e-05"), (["--class-weights"], "without --class-weights"),
        (["--seed", "4"], "with --seed 0"), (["--lora", "4", "--learning-rate", "5e-5"], "without --lora"),
    ):  # fmt: skip
        other = finetune(*command, *recipe, *changed)
        assert (other.code, f"was begun {said}\n" in other.stderr) == (2, True), other.stderr
    reviews(file, 60)
    assert "had other data" in finetune(*command, *recipe).stderr


def test_a_run_that_is_finished_is_not_begun_again(encoder: Path, tmp_path: Path) -> None:
    """So that a script may call it until it succeeds."""
    file = reviews(tmp_path / "reviews.jsonl", 60)
    command = ["--task", "classify", "-m", str(encoder), str(file), "-o", str(tmp_path / "mine"), "--max-steps", "2"]
    assert finetune(*command, "--resume").code == 0
    weights = (tmp_path / "mine" / "model.safetensors").stat()
    again = finetune(*command, "--resume")
    assert (again.code, "finished" in again.stderr) == (0, True), again.stderr
    assert (tmp_path / "mine" / "model.safetensors").stat() == weights
    other = finetune(*command, "--resume", "--seed", "1")
    assert (other.code, "exists already" in other.stderr) == (2, True)


def test_the_time_of_a_run_is_that_of_all_its_sittings(encoder: Path, tmp_path: Path) -> None:
    broken = plan(tmp_path, encoder, "broken", max_steps=20)
    with pytest.raises(KeyboardInterrupt):
        training.prepare(broken, logged(broken, stop_at=13)).train()
    state = tmp_path / "broken" / ".training" / "checkpoint-10" / "trainer_state.json"
    history = json.loads(state.read_text())
    for entry in history["log_history"]:
        entry |= {"seconds": 1000.0} if "seconds" in entry else {}
    state.write_text(json.dumps(history))
    outcome = training.prepare(replace(broken, resume=True), logged(broken)).train()
    assert outcome is not None
    assert 2000 < outcome.seconds < 3000  # two checkpoints before the stop, and what the second sitting took


def test_more_tokens_than_a_checkpoint_has_places_for_are_refused(encoder: Path, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.jsonl", 20)
    result = finetune("--task", "classify", "-m", str(encoder), str(file), "-o", "x", "--max-length", "5000", "--check")
    assert (result.code, "has places for 40 tokens, not for 5,000" in result.stderr) == (2, True), result.stderr


def test_what_the_checks_find_is_told_to_scripts(encoder: Path, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.jsonl", 40)
    with file.open("a") as rows:
        rows.write('{"text": "", "label": "good"}\n')
    result = finetune("--task", "classify", "-m", str(encoder), str(file), "-o", "x", "--check", "--json")
    [found] = json.loads(result.stdout)["findings"]
    assert (found["kind"], found["left_out"], found["places"]) == ("empty", True, [{"file": str(file), "line": 41}])


def test_as_many_processes_resume_a_run_as_began_it(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = plan(tmp_path, encoder, "mine")
    with pytest.raises(KeyboardInterrupt):
        training.prepare(broken, logged(broken, stop_at=7)).train()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="shared by 1 processes, this one by 2"):
        training.prepare(Plan(**(vars(broken) | {"resume": True})), logged(broken))


def test_examples_of_one_label_are_told_before_a_step_is_taken(encoder: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text("".join(json.dumps({"text": f"text {i}", "label": "only"}) + "\n" for i in range(40)))
    result = finetune("--task", "classify", "-m", str(encoder), str(file), "-o", str(tmp_path / "mine"))
    assert result.code == 5
    assert "all 36 rows have the label 'only'" in result.stderr
    assert not (tmp_path / "mine").exists()


def test_lora_trains_few_parameters_and_is_merged(encoder: Path, tmp_path: Path) -> None:
    run = plan(tmp_path, encoder, "lora", lora_rank=2, learning_rate=5e-3)
    outcome = training.prepare(run, lambda event: None).train()
    assert outcome is not None
    assert outcome.trained_parameters < outcome.parameters / 5
    before, after = (load_file(folder / "model.safetensors") for folder in (encoder, run.folder))
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any("embeddings" in name or "LayerNorm" in name for name in changed)


@pytest.mark.parametrize("rank", [None, 8])
def test_a_checkpoint_in_half_precision_stays_so_and_what_learns_is_in_full(
    rank: int | None, encoder: Path, tmp_path: Path
) -> None:
    transformers.AutoModel.from_pretrained(encoder, dtype=torch.bfloat16).save_pretrained(encoder)
    run = plan(tmp_path, encoder, "half", lora_rank=rank, learning_rate=5e-3)
    start = replace(run.checkpoint, dtype="bfloat16")
    begun = training.prepare(replace(run, checkpoint=start, dtype="bfloat16"), lambda event: None)
    dtypes = {(weight.requires_grad, weight.dtype) for weight in begun._trainer.model.parameters()}
    assert dtypes == ({(True, torch.float32), (False, torch.bfloat16)} if rank else {(True, torch.float32)})
    begun.train()
    assert {weight.dtype for weight in load_file(run.folder / "model.safetensors").values()} == {torch.bfloat16}
    found = engine.load(checkpoints.checkpoint.read(run.folder, "half"), LoadOptions("cpu"), lambda event: None)
    assert [max(chances, key=chances.get) for chances in found.classify(["cat rain", "moon book"])] == ["bad", "good"]


def test_only_what_the_assistant_says_is_learned(decoder: Path, tmp_path: Path) -> None:
    from lmcli.training.objectives.chat import Chat

    told = (Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Bye"), Message("assistant", "Oh."))
    run = Plan(Recipe("chat"), [], [], tmp_path, tiny.checkpoint(decoder), device="cpu")
    objective = Chat(run)
    sample = objective.samples([Example(messages=told)])[0]
    whole = objective.tokenizer.apply_chat_template([vars(message) for message in told], tokenize=False)
    assert objective.tokenizer.decode(sample.inputs) == whole
    learned = [token for token in sample.labels if token != -100]
    assert objective.tokenizer.decode(learned) == "Hello.<|im_end|>\nOh.<|im_end|>\n"


# The template drops the reasoning of all turns but the last, as Qwen's and DeepSeek's do, and opens it in a prompt.
REASONING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n"
    "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n"
    "{% endif %}"
)


def test_a_template_that_changes_what_was_said_loses_no_answer(decoder: Path, tmp_path: Path) -> None:
    from lmcli.training.objectives.chat import Chat

    (decoder / "chat_template.jinja").write_text(REASONING)
    told = (Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Bye"), Message("assistant", "Oh."))
    objective = Chat(Plan(Recipe("chat"), [], [], tmp_path, tiny.checkpoint(decoder), device="cpu"))
    samples = objective.samples([Example(messages=told)])
    answers = [objective.tokenizer.decode([token for token in each.labels if token != -100]) for each in samples]
    assert answers == ["\n</think>\nHello.<|im_end|>\n", "\n</think>\nOh.<|im_end|>\n"]
    assert "Hello.<|im_end|>" in objective.tokenizer.decode(samples[1].inputs)


def test_lora_trains_the_marks_that_a_base_checkpoint_gets(decoder: Path, tmp_path: Path) -> None:
    (decoder / "chat_template.jinja").unlink()
    told = [Example(messages=(Message("user", f"{i}?"), Message("assistant", "Fine."))) for i in range(8)]
    run = Plan(
        Recipe("chat", max_steps=4, lora_rank=2, learning_rate=1e-2), told, [], tmp_path / "mine",
        tiny.checkpoint(decoder), device="cpu", dtype="float32",
    )  # fmt: skip
    assert training.prepare(run, lambda event: None).train() is not None
    before, after = (load_file(folder / "model.safetensors") for folder in (decoder, run.folder))
    assert set(before) == set(after)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        changed = (before[name] != after[name]).any(1).nonzero().flatten().tolist()
        assert changed == [tiny.SPECIAL.index(mark) + 256 for mark in ("<|im_start|>", "<|im_end|>")]


def test_a_summarizer_from_nothing_knows_what_it_begins_with(tmp_path: Path) -> None:
    start = tmp_path / "t5"
    start.mkdir()
    tiny_translators.t5(start, tiny_translators.train_pieces(tmp_path), None)
    config = tiny.read(start / "config.json")
    del config["decoder_start_token_id"]
    (tmp_path / "t5.json").write_text(json.dumps(config))
    examples = [Example("The cat sat.", "A cat.")] * 4
    run = Plan(Recipe("summarize", max_steps=1), examples, [], tmp_path / "mine", None, tmp_path / "t5.json", start)
    training.prepare(run, lambda event: None).train()
    padding = transformers.AutoTokenizer.from_pretrained(start).pad_token_id
    for file in ("config.json", "generation_config.json"):
        assert tiny.read(run.folder / file)["decoder_start_token_id"] == padding


def test_a_conversation_that_the_template_refuses_is_told_by_its_row(decoder: Path, tmp_path: Path) -> None:
    (decoder / "chat_template.jinja").write_text(
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + tiny.CHAT_TEMPLATE
    )
    file = tmp_path / "chats.jsonl"
    rows = [{"system": "Be kind.", "prompt": f"How is {i}?", "response": "Fine."} for i in range(20)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = finetune("--task", "chat", "-m", str(decoder), str(file), "-o", str(tmp_path / "mine"))
    assert (result.code, "line 1: the checkpoint's chat template refuses" in result.stderr) == (5, True)


def test_a_base_checkpoint_gets_a_chat_template(decoder: Path, tmp_path: Path) -> None:
    (decoder / "chat_template.jinja").unlink()
    file = tmp_path / "chats.jsonl"
    rows = [{"prompt": f"How is {i}?", "response": "Fine."} for i in range(30)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "mine"
    result = finetune("--task", "chat", "-m", str(decoder), str(file), "-o", str(folder), "--epochs", "1")
    assert result.code == 0, result.stderr
    found = checkpoints.find(str(folder), load({}))
    assert found is not None
    assert found.instruct


@pytest.mark.parametrize(
    ("task", "build"),
    [("generate", transformers.AutoModelForCausalLM), ("masked", transformers.AutoModelForMaskedLM)],
)
def test_the_loss_is_that_of_transformers(task: str, build: Any, encoder: Path, decoder: Path, tmp_path: Path) -> None:
    """The figure of the first validation, before anything was learned."""
    from lmcli.training import objectives

    start = decoder if task == "generate" else encoder
    run = Plan(Recipe(task, max_length=32), [], [], tmp_path, tiny.checkpoint(start), device="cpu")  # type: ignore[arg-type]
    objective = objectives.build(run)
    samples = objective.samples([Example(line) for line in tiny_translators.LINES])
    batch = objective.collate(samples[:4], 0)
    model = build.from_pretrained(start, attn_implementation="eager")
    model.load_state_dict(objective.model.state_dict())
    labels = batch.pop("labels")
    # transformers shifts the labels itself.
    theirs = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100) if task == "generate" else labels
    from lmcli.training.loss import cross_entropies

    model.eval()
    objective.model.eval()
    ours = cross_entropies(objective.model(**batch).logits, labels).sum() / (labels != -100).sum()
    assert ours.item() == pytest.approx(model(**batch, labels=theirs).loss.item(), rel=1e-5)


def test_a_text_that_is_continued_begins_as_a_prompt_does(tmp_path: Path) -> None:
    from lmcli.training.objectives.continue_text import ContinueText

    tokenizer = TokenizerPlan("bpe", 300)
    write_tokenizer(train_tokenizer(tiny_translators.LINES, tokenizer), tokenizer, tmp_path)
    config = tmp_path / "gpt.json"
    tiny.config("llama").to_json_file(config)
    objective = ContinueText(Plan(Recipe("generate"), [], [], tmp_path, None, config, tmp_path, device="cpu"))
    (block,) = objective.samples([Example("Rain!"), Example("Rain!")])
    assert objective.tokenizer.decode(block.inputs) == "<s>Rain!</s><s>Rain!</s>"
    assert list(block.inputs)[: len(block.inputs) // 2 - 1] == objective.tokenizer("Rain!")["input_ids"]


def test_packing_loses_no_token(decoder: Path) -> None:
    from lmcli.training.objectives.continue_text import packed

    tokenizer = transformers.AutoTokenizer.from_pretrained(decoder)
    blocks = packed(tokenizer, tiny_translators.LINES, 16)
    text = tokenizer.decode([token for block in blocks for token in block])
    assert text == "<|im_end|>".join([*tiny_translators.LINES, ""])


def test_a_translator_learns_both_ways_from_nothing(tmp_path: Path) -> None:
    spm = tiny_translators.train_pieces(tmp_path)
    start = tmp_path / "start"
    start.mkdir()
    tiny_translators.marian(start, spm, None, None, marks=(">>en<<", ">>zh<<"), eos_bias=0.0)
    pairs = tmp_path / "pairs.tsv"
    lines = [f"cat {n}\t猫{n}" for n in ("sat", "book", "rain", "day", "moon", "park", "church", "sleep")]
    pairs.write_text("en\tzh\n" + "\n".join(lines) + "\n")
    config = tmp_path / "config.json"
    fields = {"dropout": 0.0, "init_std": 0.1, "architectures": ["MarianMTModel"]}
    config.write_text(json.dumps(tiny.read(start / "config.json") | fields))
    folder = tmp_path / "mine"
    result = invoke(
        "pretrain", "--task", "translate", "--config", str(config), "--tokenizer", str(start), str(pairs), "-o",
        str(folder), "--validation-share", "2", "--both-ways", "--epochs", "30", "--learning-rate", "5e-3",
        "--batch-tokens", "64", "--device", "cpu", "--json",
    )  # fmt: skip
    assert result.code == 0, result.stderr
    losses = [loss for _, loss in steps(folder)]
    assert losses[-1] < losses[0] / 2
    assert checkpoints.find(str(folder), load({})) is not None


def test_positions_that_skip_padding_are_counted_alike_in_learning_and_in_writing(tmp_path: Path) -> None:
    """M2M100 counts what is no padding: all of an answer at once where it learns, from the cache where it writes."""
    from lmcli.training.objectives.rewrite import Rewrite

    start = tmp_path / "start"
    start.mkdir()
    tiny_translators.marian(start, tiny_translators.train_pieces(tmp_path), None, None, marks=(">>en<<", ">>zh<<"))
    config = {"model_type": "m2m_100", "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "init_std": 0.3,
              "encoder_attention_heads": 2, "decoder_attention_heads": 2}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = Plan(Recipe("translate"), [], [], tmp_path / "mine", None, tmp_path / "config.json", start, device="cpu")
    objective = Rewrite(run)
    [sample] = objective.samples([Example("cat", "猫 on the mat in the rain", languages=("en", "zh"))])
    batch = objective.collate([sample], 0)
    model = objective.model.eval()
    with torch.inference_mode():
        learned = model(**{name: batch[name] for name in ("input_ids", "decoder_input_ids")}).logits[0]
        cache, written = None, []
        for token in batch["decoder_input_ids"][0]:
            found = model(batch["input_ids"], decoder_input_ids=token.view(1, 1), past_key_values=cache)
            cache = found.past_key_values
            written.append(found.logits[0, -1])
    torch.testing.assert_close(learned, torch.stack(written), rtol=1e-4, atol=1e-4)


def test_a_recipe_file_holds_options_and_the_command_line_goes_before(encoder: Path, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.jsonl", 60)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'task = "classify"\nmodel = "{encoder}"\nepochs = 5\nmax-steps = 4\nseed = 7\n')
    folder = tmp_path / "mine"
    result = finetune("--recipe", str(recipe), str(file), "-o", str(folder), "--max-steps", "2", "--resume")
    assert result.code == 0, result.stderr
    assert [step for step, _ in steps(folder)] == [1, 2]
    recipe.write_text("learning-speed = 3\n")
    wrong = finetune("--recipe", str(recipe), str(file), "-o", str(folder))
    assert (wrong.code, "learning_speed" in wrong.stderr) == (2, True)


def test_what_is_there_is_not_written_over(encoder: Path, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.jsonl", 60)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "diary.txt").write_text("mine")
    for more in ([], ["--resume"]):
        result = finetune("--task", "classify", "-m", str(encoder), str(file), "-o", str(mine), *more)
        assert (result.code, "exists already" in result.stderr) == (2, True)
    assert (mine / "diary.txt").read_text() == "mine"


def test_of_a_checkpoint_that_is_replaced_nothing_stays(encoder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "vocab.txt", "diary.txt"):
        (mine / name).write_text("old")
    run = plan(tmp_path, encoder, "mine", max_steps=2)
    training.prepare(run, logged(run)).train()
    kept = {file.name for file in mine.iterdir()}
    assert kept == {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "diary.txt",
                    "training_log.jsonl"}  # fmt: skip


@pytest.mark.parametrize(
    ("device", "visible", "chosen", "seen"),
    [("cuda:1", None, "cuda", "1"), ("cuda:1", "5,7", "cuda", "7"), ("cuda:2", "5,7", "cuda:2", "5,7"),
     ("cpu", None, "cpu", None), ("cuda", "5,7", "cuda", "5,7")],
)  # fmt: skip
def test_a_gpu_that_is_named_is_the_only_one_that_is_seen(
    device: str, visible: str | None, chosen: str, seen: str | None
) -> None:
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert choose_gpu(device, variables) == chosen
    assert variables.get("CUDA_VISIBLE_DEVICES") == seen


def _first_mbart(folder: Path, pieces: Path) -> None:
    """Begins with the language itself, as the first mBART does."""
    tiny_translators.mbart50(folder, pieces)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for file in ("config.json", "generation_config.json"):
        start = {"decoder_start_token_id": tokenizer.convert_tokens_to_ids("en_XX")}
        (folder / file).write_text(json.dumps(tiny.read(folder / file) | start))


@pytest.mark.parametrize(
    ("build", "kind"),
    [(tiny_translators.nllb, "bpe"), (tiny_translators.m2m100, "bpe"), (tiny_translators.mbart50, "unigram"),
     (_first_mbart, "unigram")],
)  # fmt: skip
def test_a_translator_learns_what_it_is_told_when_it_is_used(build: Any, kind: str, tmp_path: Path) -> None:
    """The source as the engine has it, and before the answer the tokens that the engine forces."""
    from lmcli.engine.translation_codes import TranslationCodes
    from lmcli.training.objectives.rewrite import Rewrite

    build(tmp_path, tiny_translators.train_pieces(tmp_path, kind))
    found = tiny.checkpoint(tmp_path, tiny.read_model_type(tmp_path), "encoder-decoder")
    objective = Rewrite(Plan(Recipe("translate"), [], [], tmp_path / "mine", found, device="cpu"))
    pairs = [Example("The cat sat.", "Le chat dort.", languages=("en", "fr")),
             Example("Le chat dort.", "The cat sat.", languages=("fr", "en"))]  # fmt: skip
    samples = objective.samples(pairs)
    batch = objective.collate(samples, 0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    codes = TranslationCodes("here", tiny.read(tmp_path / "config.json"), tokenizer)
    for row, (sample, pair) in enumerate(zip(samples, pairs, strict=True)):
        assert pair.languages is not None
        _, options = codes.select(*pair.languages)
        assert list(sample.inputs) == tokenizer(pair.text)["input_ids"]
        words = tokenizer(pair.answer, add_special_tokens=False)["input_ids"]
        forced = [options["forced_bos_token_id"]] if "forced_bos_token_id" in options else []
        assert list(sample.labels) == [*forced, *words, tokenizer.eos_token_id]
        start = options.get("decoder_start_token_id", objective.model.config.decoder_start_token_id)
        assert batch["decoder_input_ids"][row, : len(sample.labels)].tolist() == [start, *forced, *words]


def test_a_translator_that_must_know_the_languages_asks_for_them(tmp_path: Path) -> None:
    start = tmp_path / "t5"
    start.mkdir()
    tiny_translators.t5(start, tiny_translators.train_pieces(tmp_path), tiny_translators.T5_TASKS)
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps({"source": f"cat {i}", "target": f"Katze {i}"}) + "\n" for i in range(20)))
    result = finetune("--task", "translate", "-m", str(start), str(file), "-o", str(tmp_path / "mine"))
    assert (result.code, "--from en --to zh" in result.stderr) == (2, True)


def test_a_text_longer_than_the_positions_is_cut_before_the_padding_offset(tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    tiny_translators.roberta(start)  # 34 places, two of which no token takes
    examples = [Example(f"{word} " * 60, label) for word, label in [("rain", "bad"), ("book", "good")] * 4]
    found = tiny.checkpoint(start, "roberta", "classifier")
    run = Plan(Recipe("classify", max_steps=1), examples, [], tmp_path / "mine", found, device="cpu")
    assert training.reading(run).longest == 32
    assert training.prepare(run, lambda event: None).train() is not None


def test_a_mark_that_a_text_quotes_ends_no_text(encoder: Path, tmp_path: Path) -> None:
    from lmcli.training.objectives.classify import Classify
    from lmcli.training.objectives.rewrite import Rewrite

    quoting = [Example("cat [SEP] moon", "good"), Example("rain", "bad")]
    found = tiny.checkpoint(encoder, "bert", "encoder")
    judge = Classify(Plan(Recipe("classify"), quoting, [], tmp_path / "mine", found, device="cpu"))
    assert [list(sample.inputs).count(judge.tokenizer.sep_token_id) for sample in judge.samples(quoting)] == [1, 1]
    start = tmp_path / "start"
    start.mkdir()
    tiny_translators.nllb(start, tiny_translators.train_pieces(start, "bpe"))
    found = tiny.checkpoint(start, "m2m_100", "encoder-decoder")
    writer = Rewrite(Plan(Recipe("translate"), [], [], tmp_path / "mine", found, device="cpu"))
    [pair] = writer.samples([Example("The </s> sat.", "Le </s> dort.", languages=("en", "fr"))])
    assert [list(side).count(writer.tokenizer.eos_token_id) for side in (pair.inputs, pair.labels)] == [1, 1]


def test_a_loss_that_is_no_number_ends_the_run(encoder: Path, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.jsonl", 60)
    result = finetune(
        "--task", "classify", "-m", str(encoder), str(file), "-o", str(tmp_path / "mine"), "--learning-rate", "1e30",
        "--max-grad-norm", "0", "--batch-size", "8",
    )  # fmt: skip
    assert (result.code, "no number any more" in result.stderr) == (1, True)
    assert not (tmp_path / "mine" / "model.safetensors").exists()


def test_a_step_without_a_label_learns_nothing() -> None:
    from types import SimpleNamespace

    from lmcli.training.loss import Loss

    logits = torch.randn(1, 2, 5, requires_grad=True)
    for count in (None, 0, torch.tensor(0)):
        assert Loss()(SimpleNamespace(logits=logits), torch.tensor([[-100, -100]]), count).item() == 0


def test_class_weights_leave_the_mean_as_it_is_and_forget_labels_without_examples() -> None:
    from lmcli.training.objectives.classify import _class_weights

    examples = [Example("a", "bad")] * 3 + [Example("b", "good")]
    weights = _class_weights(examples, ["bad", "good", "neutral"])
    assert weights.tolist() == pytest.approx([2 / 3, 2, 0])
    assert sum(weights[["bad", "good"].index(example.answer)] for example in examples) / 4 == pytest.approx(1)


@pytest.mark.parametrize(
    ("line", "told"),
    [("epochs = [1, 2]", "takes one value"), ("lora = 4.5", "takes a whole number"),
     ("validation = 3", "takes a text"), ('epochs = "two"', "not a valid float")],
)  # fmt: skip
def test_a_recipe_with_a_wrong_value_is_told_so(line: str, told: str, encoder: Path, tmp_path: Path) -> None:
    file, recipe = reviews(tmp_path / "reviews.jsonl", 20), tmp_path / "recipe.toml"
    recipe.write_text(line + "\n")
    command = ["--task", "classify", "-m", str(encoder), str(file), "-o", str(tmp_path / "mine"), "--check"]
    result = finetune(*command, "--recipe", str(recipe))
    assert (result.code, told in result.stderr) == (2, True), result.stderr
    recipe.write_text(f'repeat = "{file}=3"\n')  # One value may stand without a list.
    assert "54 examples to train on" in finetune(*command, "--recipe", str(recipe)).stderr


@pytest.mark.parametrize("task", ["generate", "chat"])
def test_an_encoder_is_no_language_model(task: str, encoder: Path, tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"cat {i}", "response": f"dog {i}"}) + "\n" for i in range(20)))
    field = ["--text-field", "prompt"] if task == "generate" else []
    result = finetune("--task", task, "-m", str(encoder), str(file), "-o", str(tmp_path / "mine"), *field)
    assert (result.code, f"cannot be trained for {task}" in result.stderr) == (3, True), result.stderr


def test_a_checkpoint_without_its_tokenizer_is_refused(encoder: Path, tmp_path: Path) -> None:
    (encoder / "tokenizer.json").unlink()
    file = reviews(tmp_path / "reviews.jsonl", 20)
    result = finetune("--task", "classify", "-m", str(encoder), str(file), "-o", str(tmp_path / "mine"))
    assert (result.code, "has no tokenizer" in result.stderr) == (3, True)


def test_a_config_that_is_none_is_told_so(decoder: Path, tmp_path: Path) -> None:
    file, config = tmp_path / "book.txt", tmp_path / "config.json"
    file.write_text("It was a dark night.\n" * 20)
    for content in ("{nope", '{"model_type": "zork"}', "{}", '{"model_type": "gpt2", "n_head": "x"}'):
        config.write_text(content)
        result = invoke(
            "pretrain", "--config", str(config), "--tokenizer", str(decoder), str(file), "-o", str(tmp_path / "mine")
        )
        assert (result.code, "is no config" in result.stderr) == (3, True), content


def test_a_place_that_cannot_be_written_to_is_told(encoder: Path, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.jsonl", 20)
    for place, code in [(file, 2), (file / "mine", 1)]:
        result = finetune("--task", "classify", "-m", str(encoder), str(file), "-o", str(place), "--force")
        assert (result.code, str(file) in result.stderr) == (code, True)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [(MemoryError(), 6, "--accumulation"),
     (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 6, "--accumulation"),
     (OSError(28, "No space left on device"), 1, "--resume"),
     (RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"), 1, "--resume"),
     (KeyboardInterrupt(), 130, "--resume goes on from the beginning")],
)  # fmt: skip
def test_a_run_that_ends_early_tells_how_to_go_on(
    error: BaseException, code: int, told: str, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(transformers.Trainer, "train", fail)
    file = reviews(tmp_path / "reviews.jsonl", 20)
    result = finetune("--task", "classify", "-m", str(encoder), str(file), "-o", str(tmp_path / "mine"))
    assert (result.code, told in result.stderr) == (code, True), result.stderr


@pytest.mark.slow
def test_two_processes_train_together(encoder: Path, tmp_path: Path) -> None:
    file = reviews(tmp_path / "reviews.jsonl")
    folder = tmp_path / "mine"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "lmcli", "finetune", "--task",
        "classify", "-m", str(encoder), str(file), "-o", f"{folder}", "--epochs", "4", "--learning-rate", "2e-3",
        "--batch-size", "4", "--device", "cpu", "--json",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["accuracy"] > 0.9  # One object: only the main process speaks.
    assert result.stderr.count(" examples to train on") == 1
    assert steps(folder)[-1][0] == 90  # 180 examples in batches of 4, two batches a step, four times
