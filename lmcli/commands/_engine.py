"""Chooses the checkpoint for a task, fetches it where it is missing, and opens its engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from lmcli import checkpoints, settings
from lmcli.checkpoints import catalog, safety, starters
from lmcli.commands._checkpoints import Size
from lmcli.environment import Environment
from lmcli.errors import CheckpointError
from lmcli.protocols import Engine
from lmcli.render import Renderer
from lmcli.types import Checkpoint, Event, LoadOptions, Notice

_WORK = {"summarize": "summaries", "translate": "translation", "sentiment": "sentiment"}


@dataclass(frozen=True)
class EngineChoice:
    """What the engine flags say; nothing is read or loaded before it is asked for."""

    environment: Environment
    flags: Mapping[str, Any]
    options: LoadOptions = field(default_factory=LoadOptions)  # the others are the settings'
    draft_ref: str | None = None

    @cached_property
    def settings(self) -> settings.Settings:
        return settings.load(self.environment.variables, self.flags)

    @property
    def load_options(self) -> LoadOptions:
        chosen = self.settings
        return replace(
            self.options, device=chosen.device, dtype=chosen.dtype,
            prompt_dir=chosen.prompt_dir, prompt_dir_bytes=chosen.prompt_cache_mb * 10**6,
        )  # fmt: skip

    def chosen(self, task: str) -> str | None:
        """The checkpoint that the user named for `task`, on the command line or in the settings."""
        return self.settings.model_for(task)

    def open(self, task: str, renderer: Renderer, languages: tuple[str, str] | None = None) -> Engine:
        """The loaded engine for `task`; `languages` are a text's own and the one it is to become (ISO 639-1)."""
        checkpoint, draft = self.checkpoint(task, renderer, languages), self.draft(renderer)
        with renderer.status(f"loading {checkpoint.name} …"):
            return self.load(checkpoint, renderer.report, draft)

    def checkpoint(self, task: str, renderer: Renderer, languages: tuple[str, str] | None = None) -> Checkpoint:
        """The checkpoint for `task`, fetched where it is not here, after asking on a terminal.

        Raises CheckpointNotFound where it is missing and offline, or the user declines.
        """
        chosen = self.chosen(task)
        ref = chosen or self.default(task, languages)
        if not chosen and (hint := _better(ref, task, languages)):
            renderer.report(Notice(hint))
        return self._fetched(ref, renderer)

    def draft(self, renderer: Renderer) -> Checkpoint | None:
        """The checkpoint that is to guess ahead, fetched like the other; None where none was named."""
        return None if self.draft_ref is None else self._fetched(self.draft_ref, renderer)

    def load(self, checkpoint: Checkpoint, report: Callable[[Event], None], draft: Checkpoint | None = None) -> Engine:
        return self.environment.load(checkpoint, replace(self.load_options, draft=draft), report)

    def _fetched(self, ref: str, renderer: Renderer) -> Checkpoint:
        found = checkpoints.find(ref, self.settings)
        if found and not (self.options.trust_remote_code and safety.lacks_code(found.path)):
            return found
        wanted = checkpoints.known(ref, self.settings)
        if wanted.path is None and not found:
            if self.settings.offline:
                raise checkpoints.missing(ref)
            self._ask(ref, wanted.entry)
        return checkpoints.pull(ref, self.settings, renderer.report, trust_remote_code=self.options.trust_remote_code)

    def at_hand(self, task: str, languages: tuple[str, str] | None = None) -> bool:
        """Whether a checkpoint was chosen for `task`, or one that can do it is on this machine."""
        return bool(self.chosen(task)) or self._is_here(self.default(task, languages))

    def default(self, task: str, languages: tuple[str, str] | None = None) -> str:
        """The first catalogue entry on this machine that is made for `task`, then lmcli's own starter, then any that
        chats, then smollm2."""
        starter = starters.made_for(task, languages)
        made_for_it = [*(entry.name for entry in _suited(task, languages)), *([starter.name] if starter else [])]
        names = (*made_for_it, *(entry.name for entry in _suited("chat", None)))
        return next((name for name in names if self._is_here(name)), catalog.DEFAULT)

    def here(self, task: str, languages: tuple[str, str]) -> str | None:
        """The first catalogue entry on this machine that is made for `task` and knows the languages."""
        return next((entry.name for entry in _suited(task, languages) if self._is_here(entry.name)), None)

    def _is_here(self, name: str) -> bool:
        try:
            return checkpoints.find(name, self.settings) is not None
        except CheckpointError:  # A damaged one that nobody named is passed over.
            return False

    def _ask(self, ref: str, entry: catalog.Entry | None) -> None:
        if not (self.environment.stdin.isatty() and self.environment.stderr.isatty()):
            return  # A script is never asked; the download says on stderr what it is.
        size = f" ({Size(entry.size_bytes)}, {entry.license})" if entry else ""
        if not confirm(self.environment, f"{ref}{size} is not on this machine. Download it?", default=True):
            raise checkpoints.missing(ref)


def confirm(environment: Environment, question: str, default: bool) -> bool:
    """Ask on stderr and read the answer from stdin; a closed stdin declines."""
    environment.stderr.write(f"{question} [{'Y/n' if default else 'y/N'}] ")
    environment.stderr.flush()
    answer = environment.stdin.readline().decode(errors="replace")
    if not answer:
        environment.stderr.write("\n")
        return False
    return default if not answer.strip() else answer.strip().lower() in ("y", "yes")


def _better(ref: str, task: str, languages: tuple[str, str] | None) -> str | None:
    """Which checkpoint to pull where a starter or a chat model stands in for a larger one that is made for the task."""
    made_for_it = _suited(task, languages)
    if not made_for_it or task == "chat" or ref in {entry.name for entry in made_for_it}:
        return None
    if starter := starters.lookup(ref):
        caveat = f", {starter.caveat}" if starter.caveat else ""
        return f"{ref} answers{caveat}; lmcli pull {made_for_it[0].name} fetches a larger one made for {_WORK[task]}"
    return f"{ref} is a chat model; lmcli pull {made_for_it[0].name} fetches one made for {_WORK[task]}"


def _suited(task: str, languages: tuple[str, str] | None) -> list[catalog.Entry]:
    """Entries made for `task`, in the catalogue's order, that know the languages.

    An entry of one language is not chosen for a text whose language nobody has told.
    """
    entries = [entry for entry in catalog.ENTRIES if entry.task == task]
    if languages:
        return [entry for entry in entries if catalog.covers(entry.languages, languages)]
    return [entry for entry in entries if task == "chat" or len(entry.languages) != 1]
