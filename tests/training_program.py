"""A training run that does what is typed, as a process of its own: `training_program.py [-q] [--json] [--no-color]`.

A line of input is an event as Python writes it, such as `TrainingStep(1, 10, 0.1, 2.5, 1e-4, 1000)`; `end` ends it.
"""

from __future__ import annotations

import sys
import time

from lmcli import types
from lmcli.environment import Environment
from lmcli.render import Output, pick


def main(flags: list[str]) -> None:
    environment = Environment.of_process(None)  # type: ignore[arg-type]
    form = "json" if "--json" in flags else None
    renderer = pick(environment, Output(form, quiet="-q" in flags, color="--no-color" not in flags))
    error = None
    try:
        for line in iter(sys.stdin.readline, "end\n"):
            time.sleep(0.11)  # The line is drawn at most ten times a second.
            renderer.report(eval(line, vars(types)))
    except KeyboardInterrupt as interrupt:
        error = interrupt
    renderer.close(error)
    print("ended", flush=True)


main(sys.argv[1:])
