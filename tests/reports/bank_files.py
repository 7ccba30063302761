"""Banks' files as tests write them, with right totals."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape


def bai2(items: Sequence[str], currency: str = "USD", status: str = "1", day: str = "260302") -> str:
    """A file of one account with these records of items and continuations."""
    total = sum(int(item.split(",")[2]) for item in items if item.startswith("16,"))
    return "\n".join(
        [
            f"01,BANK,US,{day},0600,1,,,2/",
            f"02,US,BANK,{status},{day},2359,{currency},2/",
            "03,1234567890,,,,,/",
            *items,
            f"49,{total},{len(items) + 2}/",
            f"98,{total},1,{len(items) + 4}/",
            f"99,{total},1,{len(items) + 6}/",
            "",
        ]
    )


def camt(entries: Sequence[str], version: str = "camt.054.001.08") -> str:
    """A notification, or a statement, of one account with these entries."""
    message, part = ("BkToCstmrStmt", "Stmt") if "053" in version else ("BkToCstmrDbtCdtNtfctn", "Ntfctn")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{version}"><{message}>'
        "<GrpHdr><MsgId>M-1</MsgId><CreDtTm>2026-03-03T06:00:00</CreDtTm></GrpHdr>"
        f"<{part}><Id>N-1</Id><Acct><Id><IBAN>DE02120300000000202051</IBAN></Id></Acct>{''.join(entries)}</{part}>"
        f"</{message}></Document>\n"
    )


def entry(
    old: bool = False,
    check: str = "",
    parts: Sequence[tuple[str, str]] = (),
    amount: str = "125.50",
    currency: str = "EUR",
    reference: str = "BANK-1",
    said: str = "Rechnung A-1",
    payer: str = "Müller & Söhne",
) -> str:
    """A booked credit; `parts`: amounts (empty: none given) and references of its transactions."""
    party = f"<Nm>{escape(payer)}</Nm>" if old else f"<Pty><Nm>{escape(payer)}</Nm></Pty>"
    number = f"<ChqNb>{check}</ChqNb>" if check else ""
    details = (
        f"<TxDtls><Refs><EndToEndId>E2E-1</EndToEndId>{number}</Refs><RltdPties><Dbtr>{party}</Dbtr></RltdPties>"
        f"<RmtInf><Ustrd>{escape(said)}</Ustrd><Strd><RfrdDocInf><Nb>RF18 A-1</Nb></RfrdDocInf>"
        "<CdtrRefInf><Ref>A-2</Ref></CdtrRefInf></Strd></RmtInf></TxDtls>"
    )
    if parts:
        details = "".join(
            f"<TxDtls><Refs><TxId>{own}</TxId></Refs>"
            + (f'<Amt Ccy="{currency}">{minor}</Amt>' if minor else "")
            + "</TxDtls>"
            for minor, own in parts
        )
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
        f"<Sts>{'BOOK' if old else '<Cd>BOOK</Cd>'}</Sts><BookgDt><Dt>2026-03-02</Dt></BookgDt>"
        f"<AcctSvcrRef>{reference}</AcctSvcrRef><NtryDtls>{details}</NtryDtls>"
        "<AddtlNtryInf>Gutschrift</AddtlNtryInf></Ntry>"
    )
