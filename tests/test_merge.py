"""Merging checkpoints that were trained from one: the mean of their weights, and what cannot be merged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_translators as translators
import torch
from safetensors.torch import load_file, save_file
from scripted import invoke
from torch import Tensor

from lmcli import engine
from lmcli.checkpoints import read

TEXT = "The room was lovely."


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A classifier, and what a little training could have made of it."""
    one, other = (tmp_path_factory.mktemp("merge") / name for name in ("one", "other"))
    one.mkdir()
    translators.bert(one)
    generator = torch.Generator().manual_seed(1)
    changed(one, other, lambda tensor: tensor + 0.01 * torch.randn(tensor.shape, generator=generator))
    return one, other


def changed(source: Path, target: Path, change: Callable[[Tensor], Tensor]) -> None:
    shutil.copytree(source, target)
    weights = load_file(source / "model.safetensors")
    new = {name: change(weight) if weight.is_floating_point() else weight for name, weight in weights.items()}
    save_file(new, target / "model.safetensors", {"format": "pt"})


def configured(source: Path, target: Path, **fields: object) -> Path:
    shutil.copytree(source, target)
    config = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | fields))
    return target


@pytest.mark.parametrize(("shares", "first"), [([], 0.5), (["--shares", "3,1"], 0.75)])
def test_each_weight_is_the_mean_of_the_checkpoints_by_their_shares(
    shares: list[str], first: float, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    one, other = trained
    result = invoke("merge", str(one), str(other), *shares, "-o", str(tmp_path / "both"), "--json")
    assert result.code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["merged"], said["shares"]) == ([str(one), str(other)], [first, 1 - first])
    assert 0.5 < said["cosine"] < 1
    mine, others, both = (load_file(folder / "model.safetensors") for folder in (one, other, tmp_path / "both"))
    assert both.keys() == mine.keys()
    for name, weight in both.items():
        torch.testing.assert_close(weight, mine[name] * first + others[name] * (1 - first))


def test_the_mean_is_a_checkpoint_that_answers_and_its_card_says_what_it_is(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    one, other = trained
    (one / "README.md").write_text("# one\n\nIt has 90 %.\n")
    assert invoke("merge", str(one), str(other), "-o", str(tmp_path / "both")).code == 0
    card = (tmp_path / "both" / "README.md").read_text()
    assert card.startswith("# one\n\nIt has 90 %.")
    assert f"- {other}, 50%" in card
    assert f"of {one} alone" in card
    labels = [engine.load(read(folder, folder.name)).classify([TEXT])[0] for folder in (one, tmp_path / "both")]
    assert labels[0].keys() == labels[1].keys()
    assert labels[0] != labels[1]


def test_trainings_that_cut_texts_at_other_lengths_can_be_merged(trained: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = trained
    uncut = configured(other, tmp_path / "uncut")
    vocabulary = json.loads((uncut / "tokenizer.json").read_text())
    assert vocabulary["truncation"] is not None
    (uncut / "tokenizer.json").write_text(json.dumps(vocabulary | {"truncation": None, "padding": None}))
    assert invoke("merge", str(one), str(uncut), "-o", str(tmp_path / "both")).code == 0


def test_checkpoints_that_do_not_come_of_one_are_told_of(trained: tuple[Path, Path], tmp_path: Path) -> None:
    one, _ = trained
    generator = torch.Generator().manual_seed(2)
    changed(one, tmp_path / "stranger", lambda tensor: torch.randn(tensor.shape, generator=generator))
    result = invoke("merge", str(one), str(tmp_path / "stranger"), "-o", str(tmp_path / "both"))
    assert (result.code, "little in common" in result.stderr) == (0, True)


def test_what_differs_is_named_and_nothing_is_written(trained: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = trained
    relabelled = configured(other, tmp_path / "relabelled", id2label={"0": "bad", "1": "good"})
    quantized = tmp_path / "int8"
    engine.quantize(read(other, "other"), quantized, 8, lambda event: None)
    retokenized = configured(other, tmp_path / "retokenized")
    vocabulary = retokenized / "tokenizer.json"
    vocabulary.write_text(vocabulary.read_text().replace("[MASK]", "[GAP]"))
    grown = tmp_path / "grown"
    shutil.copytree(other, grown)
    weights = load_file(other / "model.safetensors")
    save_file(weights | {"pooler.extra": torch.ones(2)}, grown / "model.safetensors", {"format": "pt"})
    for folder, told in (
        (relabelled, "id2label"), (quantized, "is quantized"), (retokenized, "tokenizer.json"), (grown, "pooler.extra"),
    ):  # fmt: skip
        result = invoke("merge", str(one), str(folder), "-o", str(tmp_path / "both"))
        assert (result.code, told in result.stderr) == (2, True), result.stderr
        assert not (tmp_path / "both").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{one}"], "two or more"), (["{one}", "{other}", "--shares", "1"], "each of the 2"),
        (["{one}", "{other}", "--shares", "1,-1"], "above 0"), (["{one}", "{other}", "--shares", "a,b"], "--shares"),
        (["{one}", "nothing-of-that-name"], "nothing-of-that-name"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    arguments: list[str], told: str, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    one, other = trained
    given = [argument.format(one=one, other=other) for argument in arguments]
    result = invoke("merge", *given, "-o", str(tmp_path / "both"))
    assert (result.code in (2, 3), told in result.stderr) == (True, True), result.stderr


def test_a_checkpoint_that_is_there_is_replaced_only_with_force(trained: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = trained
    command = ["merge", str(one), str(other), "-o", str(tmp_path / "both")]
    assert [invoke(*command).code, invoke(*command).code, invoke(*command, "--force").code] == [0, 2, 0]


def test_a_folder_that_is_no_checkpoint_is_never_replaced(trained: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    result = invoke("merge", *map(str, trained), "-o", str(tmp_path / "work"), "--force")
    assert (result.code, "--force replaces checkpoints alone" in result.stderr) == (2, True), result.stderr
    assert (tmp_path / "work" / "thesis.txt").read_text() == "years"
