"""`defray vault`: the keys that guard cards and other secrets: which there are, and how one takes another's place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from cli.output import REFUSED, counted, note, table, tell, with_json, with_name
from rules.errors import MoveRefused, VaultClosed

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from books.sealed import Found, Place
    from cli.reach import Office
    from vault import Keyring, Vault

_CHUNK: Final = 500
"""Rows that one transaction seals anew."""
_MARGIN_SECONDS: Final = 60
"""A key that was in use before is not retired sooner: who began with it must have ended."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, where it stands, and how many things it seals, by their kind."""

    key_id: str
    state: str
    seals: Mapping[str, int]


@click.group()
def vault() -> None:
    """The keys that guard cards and other secrets. docs/security.md tells how they are kept and changed."""


@vault.command()
@click.pass_context
@with_json
def status(context: click.Context) -> None:
    """Say which keys there are and what each seals. Exit 1 where one is missing, or the key file is not right."""
    from cli.reach import office
    from vault import key_file

    with office() as at:
        wrong, keyring = "", None
        with at.reading() as (conn, _):
            try:
                keyring = key_file.check(at.settings.key_file, conn)
            except VaultClosed as error:
                wrong = str(error) if key_file.is_needed(conn) else ""
            keys = _keys(at.settings.key_file, conn, keyring)
    said = {"key_file": at.settings.key_file.as_posix(), "wrong": wrong or None, "keys": keys}
    rows = [(key.key_id, key.state, _words(key.seals)) for key in keys]
    lines = table(("key", "is", "seals"), rows) if keys else ["No key yet: one is made when the first card comes."]
    tell(said, [*lines, f"The key file: {at.settings.key_file}", *([wrong] if wrong else [])])
    if wrong:
        context.exit(REFUSED)


@vault.command("add-key")
@with_name
@with_json
def add_key(by: str) -> None:
    """Put a new key into the key file, which seals nothing yet: for when the file is copied to other machines.

    Copy the file, then run `defray vault rotate`. On one machine, `rotate` alone does both.
    """
    from books.history import tell as tell_history
    from cli.reach import office

    with office() as at, at.key_file().to_change() as keyring:
        more = keyring.with_next()
        more.save(at.settings.key_file)
        added = more.ids[-1]
        with at.transaction() as (conn, now):
            tell_history(conn, "vault.key_added", now, by, added)
    tell({"key": added}, [f"{added} is in {at.settings.key_file}.", "Copy the file to every machine, then rotate."])


@vault.command()
@with_name
@with_json
def rotate(by: str) -> None:
    """Take a new key, and seal everything by it that another key seals, while Defray works on.

    Who runs takes the new key by itself. It may be stopped at any time: run it again, and it goes on. Exit 1 where
    something is left.
    """
    from cli.reach import office

    with office() as at:
        current, went_on = _take_key(at, by)
        note(f"{'Going on with' if went_on else 'From now on'} {current}; sealing anew what other keys seal ...")
        sealed = 0
        while done := _seal_anew(at):
            sealed += done
        old = [key for key in _all_keys(at) if key.state == "old"]
    left, free = _sum(key.seals for key in old), [key.key_id for key in old if not key.seals]
    words = [f"{counted(sealed, 'secret')} sealed anew by {current}."]
    if left:
        words.append(f"Left: {_words(left)}, locked by somebody else or altered. Run it again.")
    if free:
        words.append(f"Nothing needs {', '.join(free)} any more: `defray vault retire`, after a minute.")
    tell({"key": current, "sealed_anew": sealed, "left": left, "not_needed": free}, words)
    if left:
        click.get_current_context().exit(REFUSED)


@vault.command()
@click.argument("key_ids", nargs=-1, metavar="[KEY]...")
@click.option(
    "--lost",
    is_flag=True,
    help="It is gone for good, or what it seals was altered: that is given up, and asked for again.",
)
@click.option("--yes", is_flag=True, help="The answer to the question.")
@with_name
@with_json
def retire(key_ids: tuple[str, ...], lost: bool, yes: bool, by: str) -> None:
    """Remove each KEY that nothing here needs any more from the key file; without KEY, all old ones.

    Refused while something is sealed by it. A copy of the key file from before still opens backups from before.
    """
    from cli.reach import office

    with office() as at:
        keys = {key.key_id: key for key in _all_keys(at, must_fit=not lost)}
        chosen = list(key_ids) or [key.key_id for key in keys.values() if key.state == "old" and not lost]
        if not chosen:
            raise MoveRefused("No key is to be retired.", "`defray vault status` shows all.")
        for key_id in chosen:
            _check_retirable(key_id, keys.get(key_id), lost)
        question = (
            f"Give up what {', '.join(chosen)} sealed: {_words(_sum(keys[one].seals for one in chosen))}?"
            if lost
            else f"Destroy {', '.join(chosen)}? Another database that shares the key file must have been rotated, too."
        )
        if not yes and not click.confirm(question, err=True):
            raise MoveRefused("No key was retired.", "It is in the key file as before.")
        if lost:
            _give_up(at, chosen, by)
        else:
            _retire(at, chosen, by)
    tell({"retired": chosen}, f"Retired: {', '.join(chosen)}.")


# ---- a new key ------------------------------------------------------------------------------------------------------


def _take_key(at: Office, by: str) -> tuple[str, bool]:
    """The key that seals from now on; whether it did before, since a rotation was stopped."""
    from books.history import tell as tell_history
    from vault import known

    path = at.settings.key_file
    with at.key_file().to_change() as keyring:
        with at.reading() as (conn, _):
            sealing = _seals(conn).keys()
        if sealing & ({*keyring.ids} - {keyring.current}):  # a rotation was stopped before its end
            return keyring.current, True
        more = keyring.with_next()
        more.save(path)  # before the database needs it
        taken = more.ids[-1]
        with at.transaction() as (conn, now):
            known.take(conn, more, taken)
            tell_history(conn, "vault.key_taken", now, by, taken)
        more.using(taken).save(path)
    return taken, False


def _seal_anew(at: Office) -> int:
    """Once through everything that another key than the current one seals; how much was sealed anew."""
    from books.sealed import PLACES

    sealer = at.vault()
    after: str | None = ""
    done = 0
    while after is not None:
        with at.transaction() as (conn, _):
            chunk = sealer.rotate(conn, after, _CHUNK)
        done, after = done + chunk.rewrapped, chunk.last
    return done + sum(sealed for place in PLACES for sealed in _chunks(at, sealer, place))


def _chunks(at: Office, sealer: Vault, place: Place) -> Iterator[int]:
    from books import sealed as books

    keys, after, full = at.key_file(), 0, True
    while full:
        with at.transaction() as (conn, _):
            keyring = keys.keys()
            rows = books.by_other_keys(conn, place, keyring.current, after, _CHUNK)
            purposes = _purposes(conn, sealer, place, rows)
            anew = {row.id: _anew(keyring, row, purposes.get(row.id)) for row in rows}
            opened = {row_id: sealed for row_id, sealed in anew.items() if sealed is not None}
            books.replace(conn, place, keyring.current, opened)
        yield len(opened)
        full = len(rows) == _CHUNK
        after = rows[-1].id if rows else after


def _purposes(conn: Connection, sealer: Vault, place: Place, rows: Sequence[Found]) -> dict[int, str]:
    from books import gateway_cards, notices, people, sealed, webhooks

    if place is sealed.TOKEN:
        facts = sealer.facts(conn, [row.facts["card_token"] for row in rows])
        return {
            row.id: gateway_cards.purpose(row.facts["gateway"], row.facts["account"], facts[token].fingerprint)
            for row in rows
            if (token := row.facts["card_token"]) in facts
        }
    of: dict[Place, Callable[[Found], str]] = {
        sealed.TWO_FACTOR: lambda row: people.two_factor_purpose(row.id),
        sealed.WEBHOOK: lambda _row: webhooks.PURPOSE,
        sealed.WEBHOOK_BEFORE: lambda _row: webhooks.PURPOSE,
        sealed.NOTICE: lambda row: notices.purpose(row.facts["gateway"]),
    }
    return {row.id: of[place](row) for row in rows}


def _anew(keyring: Keyring, row: Found, purpose: str | None) -> bytes | None:
    from vault import SealedText

    if purpose is None:
        return None
    opened = keyring.open_text(SealedText(row.key_id, row.sealed), purpose)
    return None if opened is None else keyring.seal_text(opened, purpose).sealed


# ---- old keys -------------------------------------------------------------------------------------------------------


def _check_retirable(key_id: str, key: Key | None, lost: bool) -> None:
    if key is None or key.state == "retired":
        raise MoveRefused(f"There is no key {key_id} to retire.", "`defray vault status` shows all.")
    if key.state == "current":
        raise MoveRefused(f"The key {key_id} seals what comes now.", "`defray vault rotate` takes another one first.")
    if lost:
        return
    if key.state == "missing":
        raise MoveRefused(f"The key {key_id} is not in the key file.", "Put it back, or give it up with --lost.")
    if key.seals:
        raise _still_needed(key_id, key.seals)


def _still_needed(key_id: str, seals: Mapping[str, int]) -> MoveRefused:
    return MoveRefused(f"The key {key_id} still seals {_words(seals)}.", "Run `defray vault rotate` first.")


def _retire(at: Office, key_ids: list[str], by: str) -> None:
    from datetime import timedelta

    from books.history import tell as tell_history
    from vault import known

    with at.key_file().to_change() as keyring:
        with at.transaction() as (conn, now):
            if not known.is_settled(conn, timedelta(seconds=_MARGIN_SECONDS)):
                raise MoveRefused(
                    "What began before the new key was taken may not have ended yet.", "Try again in a minute."
                )
            for key_id in key_ids:
                known.retire(conn, key_id)
                tell_history(conn, "vault.key_retired", now, by, key_id)
            sealed = _seals(conn)
            for key_id in key_ids:
                if seals := sealed.get(key_id):
                    raise _still_needed(key_id, seals)
        keyring.without(key_ids).save(at.settings.key_file)


def _give_up(at: Office, key_ids: list[str], by: str) -> None:
    from books.history import tell as tell_history
    from vault import key_file, known

    with at.transaction() as (conn, now):
        for key_id in key_ids:
            known.retire(conn, key_id)
            tell_history(conn, "vault.key_given_up", now, by, key_id)
    path = at.settings.key_file
    if (keyring := key_file.readable(path)) is not None:
        keyring.without(key_ids).save(path)


# ---- which keys there are -------------------------------------------------------------------------------------------


def _all_keys(at: Office, *, must_fit: bool = True) -> list[Key]:
    from vault import key_file

    with at.reading() as (conn, _):
        try:
            keyring = key_file.check(at.settings.key_file, conn)
        except VaultClosed:
            if must_fit:
                raise
            keyring = None
        return _keys(at.settings.key_file, conn, keyring)


def _keys(path: Path, conn: Connection, keyring: Keyring | None) -> list[Key]:
    from vault import key_file, known

    keyring = keyring or key_file.readable(path)
    here, seals = known.all_keys(conn), _seals(conn)
    in_file = [] if keyring is None else keyring.ids
    retired = {one.key_id for one in here if one.retired_at is not None}
    ids = dict.fromkeys([*(one.key_id for one in here), *in_file, *seals])
    return [Key(key_id, _state(key_id, keyring, retired), seals.get(key_id, {})) for key_id in ids]


def _state(key_id: str, keyring: Keyring | None, retired: set[str]) -> str:
    if keyring is None or key_id not in keyring.ids:
        return "retired" if key_id in retired else "missing"
    if key_id == keyring.current:
        return "current"
    return "next" if key_id == keyring.next else "old"


def _seals(conn: Connection) -> dict[str, dict[str, int]]:
    from books import sealed
    from vault import sealed_by

    found = {key_id: {"card": cards} for key_id, cards in sealed_by(conn).items()}
    for key_id, seals in sealed.counted(conn).items():
        found.setdefault(key_id, {}).update(seals)
    return found


def _sum(several: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for seals in several:
        for what, number in seals.items():
            total[what] = total.get(what, 0) + number
    return total


def _words(seals: Mapping[str, int]) -> str:
    return ", ".join(counted(number, what) for what, number in seals.items()) or "nothing"


VERBS = (vault,)
