"""Settings: flags, then environment variables, then config.toml, then defaults, folded into one frozen value."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from lmcli.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# setting: (environment variables that may hold it, its default)
_SCALARS: dict[str, tuple[tuple[str, ...], Any]] = {
    "model": (("LMCLI_MODEL",), None),
    "device": (("LMCLI_DEVICE",), "auto"),
    "dtype": (("LMCLI_DTYPE",), "auto"),
    "offline": (("LMCLI_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), False),
    "cache_dir": (("LMCLI_CACHE",), None),
    "prompt_cache_mb": (("LMCLI_PROMPT_CACHE_MB",), 2000),
}
_DTYPES = ("auto", "float32", "bfloat16", "float16")
_TASKS = ("chat", "generate", "summarize", "translate", "sentiment", "classify", "ask")
# place: the variables that may move it, in the order they are asked
_PLACES = {
    "hub_dir": ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"),
    "data_dir": ("LMCLI_DATA",),
    "state_dir": ("LMCLI_STATE",),
    "starters_dir": ("LMCLI_STARTERS",),
    "config_file": ("LMCLI_CONFIG",),
}
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


@dataclass(frozen=True)
class Settings:
    """What a run was told.

    `model` is the checkpoint for every task, `models` one for a task by its name. `cache_dir` holds lmcli's own
    imported checkpoints and, at most `prompt_cache_mb` of them, kept prompts; `hub_dir` is the hub's shared cache,
    `data_dir` holds the checkpoints that the user made, `state_dir` the chat's history, `starters_dir` the checkpoints
    that come with lmcli. `sources` says for each setting where its value comes from.
    """

    cache_dir: Path
    hub_dir: Path
    data_dir: Path
    state_dir: Path
    starters_dir: Path
    config_file: Path
    model: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    prompt_cache_mb: int = 2000
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def prompt_dir(self) -> Path:
        return self.cache_dir / "prompts"

    def model_for(self, task: str) -> str | None:
        """The checkpoint the user chose for `task`, or None. A flag or variable beats the file's table."""
        if self.model and not self.sources.get("model", "").endswith(".toml"):
            return self.model
        return self.models.get(task) or self.model


def load(variables: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
    """Fold the four sources. Raises UsageError for a config file that cannot be read, unknown keys and values."""
    flags = {name: value for name, value in (flags or {}).items() if value is not None and value is not False}
    config_file = Path(
        variables.get("LMCLI_CONFIG") or platformdirs.user_config_path("lmcli", appauthor=False) / "config.toml"
    )
    config = _read(config_file)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, (names, default) in _SCALARS.items():
        variable = next((v for v in names if variables.get(v)), None)
        if name in flags:
            values[name], sources[name] = flags[name], f"--{name}"
        elif variable:
            values[name], sources[name] = variables[variable], variable
        elif name in config:
            values[name], sources[name] = config[name], str(config_file)
        else:
            values[name], sources[name] = default, "default"
    sources |= {name: next((v for v in names if variables.get(v)), "default") for name, names in _PLACES.items()}
    _check(values, sources)
    values["offline"] = _boolean(values["offline"], sources["offline"])
    values["prompt_cache_mb"] = _megabytes(values["prompt_cache_mb"], sources["prompt_cache_mb"])
    cache_dir = values.pop("cache_dir") or platformdirs.user_cache_path("lmcli", appauthor=False)
    return Settings(
        cache_dir=Path(cache_dir).expanduser(),
        hub_dir=_hub_dir(variables),
        data_dir=Path(
            variables.get("LMCLI_DATA") or platformdirs.user_data_path("lmcli", appauthor=False)
        ).expanduser(),
        state_dir=Path(
            variables.get("LMCLI_STATE") or platformdirs.user_state_path("lmcli", appauthor=False)
        ).expanduser(),
        starters_dir=Path(variables.get("LMCLI_STARTERS") or Path(__file__).with_name("starters")).expanduser(),
        config_file=config_file,
        models=config.get("models", {}),
        sources=sources,
        **values,
    )


def _hub_dir(variables: Mapping[str, str]) -> Path:
    """The hub's cache, by the variables of huggingface_hub's documentation (environment variables page)."""
    if variables.get("HF_HUB_CACHE"):
        return Path(variables["HF_HUB_CACHE"]).expanduser()
    cache = variables.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(variables.get("HF_HOME") or f"{cache}/huggingface").expanduser() / "hub"


def read_toml(file: Path) -> dict[str, Any]:
    """What a TOML file holds. Raises UsageError where it cannot be read."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{file} does not exist", "name a TOML file that does") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file}: {error}", "correct the file or remove it") from error


def _read(config_file: Path) -> dict[str, Any]:
    config = read_toml(config_file) if config_file.exists() else {}
    unknown = set(config) - set(_SCALARS) - {"models"}
    if unknown:
        raise UsageError(
            f"{config_file}: unknown setting '{sorted(unknown)[0]}'",
            f"known settings: {', '.join([*_SCALARS, '[models]'])}",
        )
    _check_models(config.get("models", {}), config_file)
    return config


def _check_models(models: Any, config_file: Path) -> None:
    if not isinstance(models, dict):
        raise UsageError(
            f"{config_file}: [models] must be a table", 'for example: [models] translate = "opus-mt-en-zh"'
        )
    for task, ref in models.items():
        if task not in _TASKS:
            raise UsageError(f"{config_file}: [models] has no '{task}'", f"it may hold {', '.join(_TASKS)}")
        if not isinstance(ref, str):
            raise UsageError(f"{config_file}: [models] {task} must be a text", f'for example: {task} = "smollm2"')


def _check(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    for name in ("model", "device", "dtype", "cache_dir"):
        if not isinstance(values[name], str | Path | None):
            raise UsageError(f"{sources[name]}: {name} must be a text, not {values[name]!r}", f'{name} = "…"')
    if values["dtype"] not in _DTYPES:
        raise UsageError(f"{sources['dtype']}: '{values['dtype']}' is no dtype", f"it may be {', '.join(_DTYPES)}")


def _boolean(value: Any, source: str) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in _TRUE | _FALSE:
        return str(value).lower() in _TRUE
    raise UsageError(f"{source}: '{value}' is neither true nor false", f"set {source} to 1 or 0")


def _megabytes(value: Any, source: str) -> int:
    # A bool is an int in Python, and 1.5 no whole number of anything in a variable.
    if not isinstance(value, bool) and str(value).isascii() and str(value).isdigit():
        return int(value)
    raise UsageError(
        f"{source}: prompt_cache_mb '{value}' is no number of megabytes", "it may be 2000, say, or 0 to keep none"
    )
