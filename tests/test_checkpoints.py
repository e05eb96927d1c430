"""Checkpoints are read, found, listed and removed from config.json, safetensors headers and the caches' layout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from scripted import folder_checkpoint

from lmcli import checkpoints
from lmcli.checkpoints import catalog, checkpoint, safety
from lmcli.errors import CheckpointError, CheckpointNotFound, UnsafeCheckpoint, UsageError
from lmcli.settings import Settings, load

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    places = {
        "LMCLI_CACHE": "cache", "LMCLI_DATA": "data", "LMCLI_STATE": "state", "LMCLI_CONFIG": "config.toml",
        "HF_HUB_CACHE": "hub", "LMCLI_STARTERS": "starters",
    }  # fmt: skip
    return load({name: str(tmp_path / place) for name, place in places.items()})


def in_hub(settings: Settings, repo_id: str, revision: str = "main", sha: str = SHA, kind: str = "causal") -> Path:
    """A checkpoint in the hub's layout: the snapshot's files are links into `blobs`."""
    repo = settings.hub_dir / f"models--{repo_id.replace('/', '--')}"
    snapshot = folder_checkpoint(repo / "snapshots" / sha, kind)
    (repo / "blobs").mkdir(exist_ok=True)
    for file in list(snapshot.iterdir()):
        blob = repo / "blobs" / f"{sha[:4]}-{file.name}"
        file.rename(blob)
        file.symlink_to(Path("../..") / "blobs" / blob.name)
    reference = repo / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(sha)
    return snapshot


# Reading a folder


def test_a_folder_says_its_kind_size_and_dtype(tmp_path: Path) -> None:
    for kind in ("causal", "seq2seq", "classifier"):
        found = checkpoint.read(folder_checkpoint(tmp_path / kind, kind), kind)
        assert (found.kind, found.num_parameters, found.dtype, found.instruct) == (kind, 16, "float32", True)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "causal"),
        ({"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}, "causal"),
        ({"architectures": ["MT5ForConditionalGeneration"], "model_type": "mt5"}, "seq2seq"),
        ({"architectures": ["BartForSequenceClassification"], "is_encoder_decoder": True}, "classifier"),
    ],
)
def test_the_kind_follows_the_architecture(config: dict[str, object], kind: str, tmp_path: Path) -> None:
    assert checkpoint.kind_of(config, tmp_path) == kind


def test_a_model_that_does_not_write_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="BertModel"):
        checkpoint.kind_of({"architectures": ["BertModel"]}, tmp_path)


def test_the_licence_and_a_chat_template_are_found_where_they_may_lie(tmp_path: Path) -> None:
    folder = folder_checkpoint(tmp_path / "m", instruct=False)
    assert checkpoint.read(folder, "m").instruct is False
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("---\nlanguage:\n- en\nlicense: other\nlicense_name: llama3.2\n---\n# M\n")
    found = checkpoint.read(folder, "m")
    assert (found.instruct, found.license) == (True, "llama3.2")


def test_shards_are_counted_together_and_a_missing_one_is_named(tmp_path: Path) -> None:
    folder = folder_checkpoint(tmp_path / "m")
    one, two = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / one).write_bytes(data)
    (folder / two).write_bytes(data)
    (folder / checkpoint.INDEX).write_text(json.dumps({"weight_map": {"a": one, "b": two}}))
    found = checkpoint.read(folder, "m")
    assert (found.num_parameters, found.size_bytes) == (32, 2 * len(data))
    (folder / two).unlink()
    with pytest.raises(CheckpointError, match=two):
        checkpoint.read(folder, "m")


@pytest.mark.parametrize("kept", [0, 5, 20, -1])
def test_weights_cut_short_are_told_by_their_file(kept: int, tmp_path: Path) -> None:
    folder = folder_checkpoint(tmp_path / "m")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors") as error:
        checkpoint.read(folder, "m")
    assert error.value.hint


def test_a_git_lfs_pointer_is_called_one(tmp_path: Path) -> None:
    folder = folder_checkpoint(tmp_path / "m")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(CheckpointError, match="Git LFS") as error:
        checkpoint.read(folder, "m")
    assert "git lfs pull" in str(error.value.hint)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_broken_config_is_named(text: str, tmp_path: Path) -> None:
    folder = folder_checkpoint(tmp_path / "m")
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        checkpoint.read(folder, "m")


def test_a_folder_of_pickles_is_unsafe(tmp_path: Path) -> None:
    folder = folder_checkpoint(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpoint, match="run code"):
        checkpoint.read(folder, "m")


# What is needed of a repository


def test_only_one_copy_of_the_weights_is_needed() -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", checkpoint.INDEX]
    texts = ["config.json", "tokenizer.json", "source.spm", "vocab.txt", "chat_template.jinja", "README.md"]
    others = ["pytorch_model.bin", "pytorch_model.bin.index.json", "model.gguf", "flax_model.msgpack", "tf_model.h5"]
    others += ["onnx/model.onnx", "original/consolidated.00.pth", "consolidated.safetensors", "x.py", "rust_model.ot"]
    assert set(safety.needed("m", [*shards, *texts, *others])) == {*shards, *texts}
    whole = safety.needed("m", ["model.safetensors", *shards, *texts, *others])
    assert set(whole) == {"model.safetensors", *texts}
    assert whole[-1] == "model.safetensors"


def test_a_checkpoints_own_code_is_needed_only_when_it_is_trusted() -> None:
    files = ["config.json", "model.safetensors", "modeling_own.py"]
    assert "modeling_own.py" not in safety.needed("m", files)
    assert "modeling_own.py" in safety.needed("m", files, trust_remote_code=True)


def test_the_refusal_of_remote_code_names_the_file(tmp_path: Path) -> None:
    folder = folder_checkpoint(tmp_path / "m")
    assert safety.remote_code(folder) is None
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "org/code--modeling_own.OwnForCausalLM"}
    (folder / "config.json").write_text(json.dumps(config))
    assert safety.remote_code(folder) == "modeling_own.py"
    assert "modeling_own.py" in safety.refuse_remote_code(folder, "m").message


@pytest.mark.parametrize(
    ("files", "word"),
    [
        (["config.json", "pytorch_model.bin"], "pickles"),
        (["model-Q4_K_M.gguf"], "GGUF"),
        (["adapter_config.json", "adapter_model.safetensors"], "adapter"),
        (["model.safetensors"], "config.json"),
        (["config.json", "tf_model.h5"], "no safetensors"),
    ],
)
def test_a_repository_without_usable_weights_says_what_it_has(files: list[str], word: str) -> None:
    with pytest.raises(CheckpointError, match=word) as error:
        safety.needed("org/m", files)
    assert error.value.hint


# Finding


def test_a_short_name_and_its_hub_id_find_the_same_snapshot(settings: Settings) -> None:
    snapshot = in_hub(settings, "HuggingFaceTB/SmolLM2-135M-Instruct")
    for ref in (
        "smollm2",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        f"smollm2@{SHA}",
        f"smollm2@{SHA[:8]}",
        "smollm2@main",
    ):
        found = checkpoints.find(ref, settings)
        assert found is not None, ref
        assert (found.path, found.revision, found.name) == (snapshot, SHA, ref)
    assert checkpoints.find("smollm2@v2", settings) is None


def test_a_mirrored_checkpoint_is_found_under_both_names(settings: Settings) -> None:
    folder_checkpoint(settings.cache_dir / "checkpoints" / "smollm2")
    assert checkpoints.find("smollm2", settings)
    assert checkpoints.find("HuggingFaceTB/SmolLM2-135M-Instruct", settings)
    assert checkpoints.find("smollm2@v2", settings) is None


def test_a_snapshot_without_its_weights_is_not_found(settings: Settings) -> None:
    snapshot = in_hub(settings, "org/m")
    (snapshot / "model.safetensors").resolve().unlink()
    assert checkpoints.find("org/m", settings) is None
    assert checkpoints.cached(settings) == []


def test_a_snapshot_fetched_by_its_commit_is_found_without_refs(settings: Settings) -> None:
    snapshot = in_hub(settings, "org/m")
    (snapshot.parents[1] / "refs" / "main").unlink()
    found = checkpoints.find("org/m", settings)
    assert found is not None
    assert found.path == snapshot


def test_a_folder_is_named_by_its_last_part(tmp_path: Path, settings: Settings) -> None:
    found = checkpoints.find(str(folder_checkpoint(tmp_path / "mine")), settings)
    assert found is not None
    assert found.name == "mine"


def test_a_path_where_nothing_is_is_said_so(settings: Settings) -> None:
    for ref in ("./nothing", "/nothing/here", "nothing.gguf", "org/nothing.gguf"):
        with pytest.raises(CheckpointNotFound, match="no such file"):
            checkpoints.find(ref, settings)


def test_a_gguf_file_that_changes_is_converted_anew(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF one")
    assert checkpoints.find(str(file), settings) is None
    folder_checkpoint(checkpoints.store.converted(file, settings))
    assert checkpoints.find(str(file), settings)
    file.write_bytes(b"GGUF another")
    assert checkpoints.find(str(file), settings) is None


def test_what_other_tools_keep_in_the_cache_is_passed_over(settings: Settings) -> None:
    in_hub(settings, "org/m")
    embedder = in_hub(settings, "org/embedder", sha="f" * 40)
    (embedder / "config.json").resolve().write_text(json.dumps({"architectures": ["BertModel"]}))
    (settings.hub_dir / "datasets--org--data" / "snapshots" / SHA).mkdir(parents=True)
    folder_checkpoint(settings.cache_dir / "checkpoints" / "smollm2")
    assert [found.name for found in checkpoints.cached(settings)] == ["org/m", "smollm2"]


def test_names_for_completion_need_no_heavy_import() -> None:
    nothing = dict.fromkeys(("HF_HUB_CACHE", "LMCLI_CACHE", "LMCLI_DATA", "LMCLI_STARTERS"), "/nowhere")
    code = f"import sys; from lmcli import checkpoints; print(len(checkpoints.names({nothing})));"
    code += "print(sorted({'torch', 'transformers', 'huggingface_hub', 'numpy', 'gguf', 'rich'} & set(sys.modules)))"
    root = str(Path(__file__).parents[1])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert run.stdout.split("\n")[:2] == [str(len(catalog.ENTRIES)), "[]"]


# Removing


def test_what_the_user_made_lies_with_their_data_and_is_found_listed_and_removed(settings: Settings) -> None:
    name, folder = checkpoints.place("my-reviews", settings)
    assert folder.is_relative_to(settings.data_dir)
    folder_checkpoint(folder)
    found = checkpoints.find(name, settings)
    assert found is not None
    assert found.path == folder
    assert name in checkpoints.names({"HF_HUB_CACHE": "/nowhere", "LMCLI_DATA": str(settings.data_dir)})
    assert checkpoints.remove(name, settings) > 0
    assert checkpoints.find(name, settings) is None


def test_removing_frees_the_cache_and_leaves_other_revisions(settings: Settings) -> None:
    in_hub(settings, "org/m")
    other = in_hub(settings, "org/m", "v2", "f" * 40)
    assert checkpoints.remove("org/m@v2", settings) > 64
    assert not other.exists()
    assert checkpoints.find("org/m", settings)
    checkpoints.remove("org/m", settings)
    assert checkpoints.find("org/m", settings) is None
    with pytest.raises(CheckpointNotFound):
        checkpoints.remove("org/m", settings)


def test_what_an_interrupted_download_left_can_be_removed(settings: Settings) -> None:
    blobs = settings.hub_dir / "models--org--m" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "0.lmcli.incomplete").write_bytes(bytes(1000))
    assert checkpoints.remove("org/m", settings) == 1000
    assert not blobs.exists()


def test_removing_takes_the_mirrored_copy_too(settings: Settings) -> None:
    in_hub(settings, "HuggingFaceTB/SmolLM2-135M-Instruct")
    folder_checkpoint(settings.cache_dir / "checkpoints" / "smollm2")
    checkpoints.remove("smollm2", settings)
    assert checkpoints.find("smollm2", settings) is None


def test_a_folder_of_the_users_own_is_never_removed(tmp_path: Path, settings: Settings) -> None:
    folder = folder_checkpoint(tmp_path / "mine")
    with pytest.raises(UsageError, match="your own"):
        checkpoints.remove(str(folder), settings)
    assert folder.exists()


# The catalogue


def test_the_catalogue_has_each_name_and_repository_once() -> None:
    assert len({entry.name for entry in catalog.ENTRIES}) == len(catalog.ENTRIES)
    assert len({entry.repo_id for entry in catalog.ENTRIES}) == len(catalog.ENTRIES)
    assert catalog.lookup(catalog.DEFAULT) == catalog.ENTRIES[0]


def test_a_translator_covers_its_own_direction_alone() -> None:
    entry = catalog.lookup("opus-mt-en-zh")
    assert entry is not None
    assert catalog.covers(entry.languages, ("en", "zh"))
    assert not catalog.covers(entry.languages, ("zh", "en"))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize("text", ['{"weight_map": {"a": 5}, "architectures": 5}', "[" * 100_000])
def test_json_of_another_shape_is_a_damaged_checkpoint(name: str, text: str, tmp_path: Path) -> None:
    folder = folder_checkpoint(tmp_path / "damaged")
    if name.startswith("model"):
        (folder / "model.safetensors").unlink()
    (folder / name).write_text(text)
    with pytest.raises(CheckpointError):
        checkpoint.read(folder, "damaged")


def test_an_auto_map_that_is_a_list_is_a_damaged_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auto_map": ["modeling.py"]}')
    with pytest.raises(CheckpointError, match="auto_map"):
        safety.lacks_code(tmp_path)


@pytest.mark.parametrize("revision", ["/x/foo1", "**x**y**", "../../refs/main", "a//b", "[abcdefg]", "x\x00yyyyyy"])
def test_what_cannot_be_a_revision_is_refused(revision: str, settings: Settings) -> None:
    for name in ("smollm2", "org/tiny"):
        in_hub(settings, catalog.lookup(name).repo_id if name == "smollm2" else name)  # type: ignore[union-attr]
        with pytest.raises(UsageError, match="cannot be a revision"):
            checkpoints.find(f"{name}@{revision}", settings)


def test_a_commit_is_abbreviated_by_seven_digits_that_no_other_begins_with(settings: Settings) -> None:
    one, two, three = "0" * 40, "0" * 39 + "1", "1" * 40
    for number, sha in enumerate((one, two, three)):
        in_hub(settings, "org/tiny", f"v{number}", sha)
    for revision in ("1", "111111", "0" * 7):
        assert checkpoints.find(f"org/tiny@{revision}", settings) is None
        with pytest.raises(CheckpointNotFound):
            checkpoints.remove(f"org/tiny@{revision}", settings)
    assert checkpoints.remove("org/tiny@1111111", settings) > 0
    checkpoints.remove(f"org/tiny@{one}", settings)
    assert checkpoints.find(f"org/tiny@{one}", settings) is None
    assert checkpoints.find(f"org/tiny@{two}", settings) is not None
