"""Settings: what the config file and the variables may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmcli import settings
from lmcli.commands import chat
from lmcli.errors import UsageError


def test_a_dtype_that_does_not_exist_is_refused_by_its_variable() -> None:
    with pytest.raises(UsageError, match="LMCLI_DTYPE: 'bf16'") as refused:
        settings.load({"LMCLI_DTYPE": "bf16", "LMCLI_CONFIG": "/nowhere"})
    assert "bfloat16" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('dtype = "bf16"', "'bf16'"),
        ("dtype = [1]", "dtype"),
        ("model = 5", "model"),
        ("cache_dir = 5", "cache_dir"),
        ("device = false", "device"),
        ("prompt_cache_mb = -1", "prompt_cache_mb"),
        ("prompt_cache_mb = true", "prompt_cache_mb"),
        ("prompt_cache_mb = 1.5", "prompt_cache_mb"),
        ('[models]\nsumarize = "smollm2"', "'sumarize'"),
        ("[models]\nsummarize = 5", "summarize"),
        ("models = 5", "models"),
    ],
)
def test_a_value_in_the_file_that_makes_no_sense_is_refused_by_its_name(line: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(line)
    with pytest.raises(UsageError) as refused:
        settings.load({"LMCLI_CONFIG": str(file)})
    assert str(file) in refused.value.message
    assert named in refused.value.message
    assert refused.value.hint


def test_the_flag_and_the_file_know_the_same_dtypes(tmp_path: Path) -> None:
    flag = next(option for option in chat.command.params if option.name == "dtype")
    for dtype in flag.type.choices:  # type: ignore[attr-defined]
        assert settings.load({"LMCLI_DTYPE": dtype, "LMCLI_CONFIG": str(tmp_path / "none")}).dtype == dtype
