"""The `avss` command: every command's home, and the one place where errors become exit codes.

Exit codes: 0 done; 1 a fault of ours; 2 bad input or usage; 3 a gate or a decision said no;
4 waiting for a decision; 5 verification failed; 130 interrupted (Ctrl-C).
"""

import errno
import os
from typing import Any

import typer
from typer.core import TyperGroup

from flows.commands import (
    audit,
    begin,
    change,
    checkpoint,
    data,
    decide,
    deploy,
    gc,
    job_key,
    measure,
    monitor,
    operate,
    policy,
    registry,
    science,
)
from flows.quiet import hush_libraries
from flows.terminal import shown


class ExitCodes(TyperGroup):
    """A command group that ends every error with one message and the exit code of its kind."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.TyperException, typer.Abort, typer.Exit):
            raise
        except KeyboardInterrupt:
            message = "Interrupted. What was recorded is kept; the same command goes on from there."
            code = 130
        except Exception as error:
            if os.environ.get("AVSS_DEBUG"):
                raise
            message, code = explain(error)
        typer.echo(shown(message), err=True)
        raise typer.Exit(code)


def explain(error: Exception) -> tuple[str, int]:
    """One message for the user and the exit code of the error's kind; never a record's content."""
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return f"Error: {error}", code
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = error.filename or "the disk"
        return f"Error: no space left on {where}. Free some and run the same command again.", 1
    return (
        f"Error: a fault of ours ({type(error).__name__}); nothing recorded is lost. "
        "Run again as `avss --debug ...` for the traceback.",
        1,
    )


app = typer.Typer(
    name="avss",
    cls=ExitCodes,
    help="Governed optimization of language models: score layers, remove them step by step under "
    "signed approval, and prove it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for commands in (begin, science, measure, change, decide, audit, deploy, monitor, operate, gc):
    commands.register(app)
app.add_typer(policy.app, name="policy")
app.add_typer(checkpoint.app, name="checkpoint")
app.add_typer(job_key.app, name="job-key")
app.add_typer(registry.app, name="registry")
app.add_typer(data.app, name="data")
app.add_typer(operate.stack, name="stack")


@app.callback()
def common(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Options that go before the command's name."""
    if debug:
        os.environ["AVSS_DEBUG"] = "1"


def main() -> None:
    """Run the command line and leave with its exit code."""
    hush_libraries()
    app()


if __name__ == "__main__":
    main()
