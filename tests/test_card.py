"""The model card: metadata as the hub reads it, and text that tells what a checkpoint is, from what and how well."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_translators
import transformers
from huggingface_hub import ModelCard
from scripted import folder_checkpoint

from lmcli.checkpoints.checkpoint import read
from lmcli.training.card import Card, CardData
from lmcli.training.card_writing import write_card
from lmcli.training.recipe import Recipe
from lmcli.types import Checkpoint, Validation

HUB = Path("/cache/models--org--base-model/snapshots/0123abc")
BASE = Checkpoint("org/base-model", HUB, "0123abc", "bert", "classifier", "float32", 10, 40, "apache-2.0")
CARD = Card(
    "my-classifier",
    Recipe("classify", batch_tokens=4096, class_weights=True),
    (
        CardData("reviews.csv", "train", 12_000, {"empty": 3, "duplicate": 1_200, "too long": 0}),
        CardData("dev.tsv", "validation", 872),
    ),
    BASE,
    labels=("positive", "negative"),
    languages=("en", "no"),
    num_parameters=22_700_000,
    validation=Validation(400, 1.0, {"accuracy": 0.876, "macro_f1": 0.87}, True),
    metric="accuracy",
    steps=1_300,
    seconds=1234.5,
    device="NVIDIA H200",
    dtype="bfloat16",
    data_license="CC BY 4.0",
    attribution="By the [Example](https://example.org) project.",
    limits=("It knows nothing of news.",),
    command="lmcli finetune reviews.csv --task classify -m org/base-model",
)


def written(folder: Path, card: Card = CARD) -> str:
    return write_card(folder, card).read_text(encoding="utf-8")


def metadata(folder: Path, card: Card = CARD) -> Any:
    return ModelCard(written(folder, card)).data


def test_the_hub_reads_the_metadata(tmp_path: Path) -> None:
    data = metadata(tmp_path)
    assert (data.license, data.base_model, data.language) == ("apache-2.0", "org/base-model", ["en", "no"])
    assert (data.pipeline_tag, data.library_name, data.metrics) == (
        "text-classification", "transformers", ["accuracy", "f1"]
    )  # fmt: skip
    assert data.model_name == "my-classifier"
    accuracy, f1 = data.eval_results
    assert (accuracy.metric_type, accuracy.metric_value, accuracy.dataset_name) == ("accuracy", 0.876, "dev.tsv")
    assert (f1.metric_type, f1.metric_name) == ("f1", "macro_f1")


def test_lmcli_reads_the_licence_of_a_checkpoint_it_trained(tmp_path: Path) -> None:
    folder_checkpoint(tmp_path)
    written(tmp_path, replace(CARD, license="cc-by-nc-4.0"))
    assert read(tmp_path, "mine").license == "cc-by-nc-4.0"


def test_a_licence_the_hub_has_no_id_for_is_another_by_its_name(tmp_path: Path) -> None:
    data = metadata(tmp_path, replace(CARD, license="My Own Licence"))
    assert (data.license, data.license_name) == ("other", "my-own-licence")


def test_without_a_base_without_figures_and_without_data_nothing_is_claimed(tmp_path: Path) -> None:
    bare = Card("mine", Recipe("masked"))
    data = metadata(tmp_path, bare)
    assert (data.license, data.base_model, data.metrics, data.eval_results) == (None, None, None, None)
    assert data.pipeline_tag == "fill-mask"
    text = written(tmp_path, bare)
    assert "trained from random weights" in text
    assert "## Data" not in text
    assert "## Figures" not in text
    assert "None" not in text


def test_a_folder_of_the_users_own_is_no_repository_of_the_hub(tmp_path: Path) -> None:
    own = replace(BASE, name="smollm2", path=Path("/home/me/smollm2"), revision=None)
    data = metadata(tmp_path, replace(CARD, base=own))
    assert data.base_model is None
    assert "from the checkpoint `smollm2`" in written(tmp_path, replace(CARD, base=own))


def test_named_sets_are_linked_and_files_are_not(tmp_path: Path) -> None:
    sets = (CardData("SST-2", "train", 67_349, dataset="stanfordnlp/sst2"), *CARD.data)
    assert metadata(tmp_path, replace(CARD, data=sets)).datasets == ["stanfordnlp/sst2"]
    assert metadata(tmp_path).datasets is None


def test_the_text_tells_the_data_the_figures_and_the_recipe(tmp_path: Path) -> None:
    text = written(tmp_path)
    for line in (
        "This is a text classifier of 22.7 million parameters for en, no, fine-tuned in all its weights from "
        "[org/base-model](https://huggingface.co/org/base-model) (licence: apache-2.0) to choose a text's label. Its "
        "labels are `positive`, `negative`.",
        'lmcli sentiment -m my-classifier "The text to judge"',
        "| reviews.csv | train | 12,000 | 3 empty, 1,200 duplicate |",
        "| dev.tsv | validation | 872 | – |",
        "Licence of the data: CC BY 4.0",
        "By the [Example](https://example.org) project.",
        "After step 400 (epoch 1.0) on 872 validation examples:",
        "| accuracy | 87.6% ± 2.2% |",
        "| macro_f1 | 0.870 |",
        "1,300 steps in 0:20:34 on NVIDIA H200, in bfloat16.",
        "| batch size, tokens | 4096 |",
        "| class weights | yes |",
        "| learning rate | 5e-05 |",
        "| seed | 0 |",
        "lmcli finetune reviews.csv --task classify -m org/base-model",
        "- It knows nothing of news.",
    ):
        assert line in text, line
    assert re.search(r"lmcli \S+, torch \S+, transformers \S+, tokenizers \S+, Python \S+\n", text)
    for absent in ("batch size, examples", "LoRA", "accumulation", "None", "losses.svg", "too long"):
        assert absent not in text, absent


def test_lora_is_told(tmp_path: Path) -> None:
    text = written(tmp_path, replace(CARD, recipe=Recipe("classify", lora_rank=8)))
    assert "fine-tuned with LoRA of rank 8 (merged) from" in text
    assert "peft" in text


def test_the_picture_is_shown_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "losses.svg").write_text("<svg/>")
    assert "![The losses of the run](losses.svg)" in written(tmp_path)


def test_names_of_the_users_do_not_break_the_page(tmp_path: Path) -> None:
    data = (CardData("a|b\n*c*.csv", "train", 1), CardData("---\nlicense: mit\n---", "validation", 1))
    card = replace(CARD, name='my "model": #1', labels=("a`b", "c|d"), data=data)
    text = written(tmp_path, card)
    assert "| a\\|b \\*c\\*.csv | train | 1 | – |" in text
    assert "`` a`b ``, `c|d`" in text
    assert metadata(tmp_path, card).license == "apache-2.0"
    assert metadata(tmp_path, card).model_name == 'my "model": #1'


@pytest.mark.parametrize(
    ("recipe", "fields", "command"),
    [
        (Recipe("classify"), {"labels": ("spam", "ham")}, 'lmcli classify -m my-classifier "The text to judge"'),
        (Recipe("translate"), {"languages": ("en", "de")}, "lmcli translate -m my-classifier --to de notes.txt"),
        (Recipe("summarize"), {}, "lmcli summarize -m my-classifier report.txt"),
        (Recipe("chat"), {}, "lmcli chat -m my-classifier"),
        (Recipe("generate"), {}, 'lmcli generate -m my-classifier "Once upon a time"'),
        (Recipe("masked"), {}, "lmcli finetune --help"),
    ],
    ids=lambda value: getattr(value, "task", ""),
)
def test_each_task_has_its_command(tmp_path: Path, recipe: Recipe, fields: dict[str, Any], command: str) -> None:
    assert command in written(tmp_path, replace(CARD, recipe=recipe, **fields))


@pytest.mark.parametrize("task", ["classify", "translate", "chat", "generate", "masked"])
def test_the_lines_of_python_run(
    tmp_path: Path, task: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    if task == "classify":
        tiny_translators.bert(folder)
    elif task == "translate":
        tiny_translators.bart(folder, max_length=20)
    elif task == "masked":
        tiny_translators.bert(folder)
        config = transformers.AutoConfig.from_pretrained(folder)
        transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    else:
        tiny.save(folder, tiny.config("llama"))
    text = written(folder, replace(CARD, name="mine", recipe=Recipe(task)))
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    transformers.set_seed(0)
    exec(code[1], {})
    assert capsys.readouterr().out.strip()
