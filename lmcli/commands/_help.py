"""Help: what the command does, then examples, then the options."""

from __future__ import annotations

import click


class Command(click.Command):
    """A command whose epilog, its examples, stands above the options: it is what most readers came for."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_epilog(ctx, formatter)
        self.format_options(ctx, formatter)
