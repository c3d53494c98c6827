"""The command `spanward`; the only place that ends the process."""

import sys


def main() -> None:
    """Run the command line, or say how to install it."""
    try:
        from spanward_processor.commands import app  # the extra may be absent
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0].startswith("spanward"):
            raise
        sys.stderr.write(f"spanward needs {error.name}: pip install 'spanward[processor]'\n")
        sys.exit(1)
    app()


if __name__ == "__main__":
    main()
