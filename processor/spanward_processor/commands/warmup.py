"""`spanward warmup`: compile the kernels before they are needed."""

import typer

from spanward_processor.warmup import CACHE_FOLDER, warm_up


def warmup() -> None:
    """Compile every kernel into the cache; images run it while they are built."""
    seconds = warm_up(lambda stage, took: typer.echo(f"{stage}: {took:.1f} s"))
    typer.echo(f"kernels ready in {seconds:.1f} s, kept in {CACHE_FOLDER}")
