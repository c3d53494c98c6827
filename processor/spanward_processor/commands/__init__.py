"""The commands of `spanward`, one file each."""

from typing import Final

import typer

from spanward_processor.commands.bench import bench
from spanward_processor.commands.demo import demo
from spanward_processor.commands.dora import dora
from spanward_processor.commands.evaluate import evaluate
from spanward_processor.commands.explain import explain
from spanward_processor.commands.processor import processor
from spanward_processor.commands.replay import replay
from spanward_processor.commands.slo import slo
from spanward_processor.commands.version import version
from spanward_processor.commands.warmup import warmup

COMMANDS: Final = (demo, processor, explain, replay, slo, dora, bench, evaluate, warmup, version)
"""Every command, in the order of `spanward --help`; a test compares this tuple with the folder."""

app = typer.Typer(
    name="spanward",
    help="Anomaly signals for AI inference, computed on the OpenTelemetry span stream.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(command)
