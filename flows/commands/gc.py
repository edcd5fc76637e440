"""Clean up what finished changes left behind."""

from typing import Annotated

import typer

from flows.commands.common import (
    Format,
    FormatOption,
    LedgerOption,
    WorkOption,
    err,
    out,
    print_json,
)
from flows.progress import progress


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(gc)


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, and why.")
    ] = False,
    lifecycle: Annotated[
        bool,
        typer.Option(
            "--lifecycle",
            help="Print S3 lifecycle rules for the work bucket (JSON for put-bucket-lifecycle-"
            "configuration), by the longest candidate_days of the lines' policies; delete nothing.",
        ),
    ] = False,
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Delete models that became no version and cached data, as the lines' policies say.

    Evidence, approvals, the record, every registered version and its base stay.

    Example: avss gc --dry-run
    """
    from flows.render import cleaning_table
    from tasks.cleaning import candidate_days, clean, lifecycle_rules, plan_cleaning
    from tasks.places import places_of
    from tasks.s3.storage import ObjectStore

    places = places_of(None, work, ledger)
    if lifecycle:
        with progress("Reading the lines") as report:
            days = candidate_days(places, report)
        print_json({"Rules": lifecycle_rules(days)})
        return
    with progress("Reading the lines") as report:
        plan = plan_cleaning(places, report)
    if not dry_run:
        with progress("Deleting") as report:
            clean(plan, ObjectStore(places.work), report)
    if format is Format.json:
        print_json(plan.to_json() | {"deleted": not dry_run})
        return
    out.print(cleaning_table(plan))
    said = "would go; nothing was deleted" if dry_run else "deleted"
    err.print(f"{len(plan.leftovers)} things, {plan.bytes / 1e6:,.1f} MB: {said}", markup=False)
