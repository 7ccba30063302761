"""`defray erase`: take a customer's personal data out, and do it again after a restore."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.archive import alone
from cli.output import REFUSED, counted, note, plain, table, tell, wants_json, with_json, with_name
from rules.errors import DefrayError, Fault, RequestRefused

if TYPE_CHECKING:
    from datetime import datetime

    from books.erase import Erased
    from cli.reach import Office


@click.command()
@click.argument("customer", required=False, metavar="[CUSTOMER]")
@click.option("--reason", help="Why, without a name: it is kept for good.")
@click.option("--yes", is_flag=True, help="Do not ask: it cannot be undone.")
@click.option("--list", "listed", is_flag=True, help="List who was erased; with --json what --again takes.")
@click.option(
    "--again",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="After a restore: erase everybody of an earlier `--list --json`, and of this database.",
)
@with_name
@with_json
def erase(customer: str | None, reason: str | None, yes: bool, listed: bool, again: Path | None, by: str) -> None:
    """Take the personal data of CUSTOMER (a number) out of the database, for good.

    Names, addresses, notes, reasons, cards and gateways' words become "erased customer 12". Money, dates, numbers of
    invoices, references and the journal stay, as the law asks of books. Refused while anything of the customer is open.
    """
    from cli.reach import office

    if sum((customer is not None, listed, again is not None)) != 1:
        raise click.UsageError("Name a customer, or say --list, or --again FILE.")
    with office() as at:
        if listed:
            _list(at)
        elif again is not None:
            _again(at, again, by)
        elif customer is not None:
            _one(at, customer, _checked(reason), yes, by)


def _checked(reason: str | None) -> str:
    from rules.requests import check_words

    checked = check_words("--reason", reason or "")
    if isinstance(checked, Fault):
        raise RequestRefused([checked])
    return checked


def _one(at: Office, customer: str, reason: str, yes: bool, by: str) -> None:
    if not yes:
        if wants_json():
            raise RequestRefused([Fault("--yes", "", "must be given with --json", "It cannot be undone: be sure")])
        typed = click.prompt("This cannot be undone. Type the customer's number again", err=True)
        if typed != customer:
            raise DefrayError("That is another number: nothing was changed.", "Try again.")
    with alone(at):
        erased = _erase(at, customer, reason, by)
        archives = _in_archives(at, [erased.record.customer_id])
    tell({**plain(erased), **plain(archives)}, [*_words(erased), *archives.words()])


def _erase(at: Office, customer: str, reason: str, by: str, when: datetime | None = None) -> Erased:
    from books import erase as books

    vault = at.vault()
    with at.transaction() as (conn, now):
        erased = books.erase(conn, customer, reason, now, by, when)
        vault.erase(conn, erased.tokens, erased.record.customer_id)
    return erased


def _words(erased: Erased) -> Iterator[str]:
    rows = ", ".join(f"{count:,} of {name}" for name, count in sorted(erased.rows.items()) if count)
    yield f"Customer {erased.record.customer} is erased: {rows}; {counted(len(erased.tokens), 'card')} dropped."
    yield "Keep `defray erase --list --json` with your backups, and say `--again` after a restore."


@dataclass(frozen=True, slots=True)
class InArchives:
    """The manifests of archives that were rewritten, and of those that are not on this machine."""

    rewritten: tuple[str, ...] = ()
    not_here: tuple[str, ...] = ()

    def words(self) -> Iterator[str]:
        """The same for people."""
        for manifest in self.rewritten:
            yield f"Taken out of an archive, too: {manifest}"
        for manifest in self.not_here:
            yield f"This archive is not here, and may hold it still; say `--again` where it is: {manifest}"


def _in_archives(at: Office, customer_ids: Sequence[int]) -> InArchives:
    """Take it out of every archive, of which none is being made meanwhile."""
    from books import archive
    from books import erase as books
    from cli import erased_files
    from cli.archive_files import MANIFEST

    rewritten, not_here = [], []
    with at.reading() as (conn, _):
        found = [(one, archive.files(conn, one)) for one in archive.every(conn) if one.manifest_sha256]
        whose = books.whose(conn, customer_ids)
    for one, files in found:
        folder = Path(one.folder) / one.name
        digests = erased_files.erase(folder, files, whose)
        if digests is None:
            not_here.append(str(folder / MANIFEST))
        elif digests:
            with at.transaction() as (conn, _):
                archive.rewritten(conn, one, digests, digests[MANIFEST])
            rewritten.append(str(folder / MANIFEST))
    return InArchives(tuple(rewritten), tuple(not_here))


def _again(at: Office, file: Path, by: str) -> None:
    """Those of the file in the words of then; whoever is known here alone, too. What cannot be is told, and goes on."""
    from datetime import datetime

    from books import erase as books

    with at.reading() as (conn, _):
        known = [plain(one) for one in books.record(conn)]
    with click.open_file(str(file), encoding="utf-8") as text:
        given = _read(text.read(), file)
    by_number = {one["customer"]: one for one in [*known, *given]}
    done, refused = [], []
    with alone(at):
        for one in by_number.values():
            try:
                when = datetime.fromisoformat(one["erased_at"])
                done.append(_erase(at, one["customer"], one["reason"], one["erased_by"], when).record)
            except DefrayError as error:
                refused.append(one["customer"])
                note(f"{error.message} {error.hint}".strip())
        archives = _in_archives(at, [one.customer_id for one in done])
    said = f"Erased again: {counted(len(done), 'customer')}"
    words = f"{said}; refused: {len(refused)}." if refused else f"{said}."
    told = {"erased": [one.customer for one in done], "refused": refused, "by": by, **plain(archives)}
    tell(told, [words, *archives.words()])
    if refused:
        click.get_current_context().exit(REFUSED)


def _read(said: str, file: Path) -> list[dict[str, Any]]:
    from datetime import datetime

    try:
        found = [{name: str(one[name]) for name in _FIELDS} for one in json.loads(said)]
        if all(datetime.fromisoformat(one["erased_at"]).tzinfo for one in found):
            return found
    except (ValueError, TypeError, KeyError):
        pass
    hint = "It is what `defray erase --list --json` printed."
    raise RequestRefused([Fault("--again", file.name, "is no list of erasures", hint)])


_FIELDS = ("customer", "reason", "erased_at", "erased_by")


def _list(at: Office) -> None:
    from books import erase as books

    with at.reading() as (conn, _):
        found = books.record(conn)
    rows = [(one.customer, f"{one.erased_at:%Y-%m-%d}", one.erased_by, one.reason) for one in found]
    tell(found, table(("customer", "erased", "by", "reason"), rows) if rows else "Nobody was erased.")


VERBS = (erase,)
