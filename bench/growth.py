"""What a history costs: `growth.py [PAYMENTS] [--batch N] [--workers 1,2,4,8] [--keep] [--only batches|pages]`.

The same batch on an empty database and on one with so many payments of history (a million unless said; see
`history.py`), under 1, 2, 4 and 8 worker processes: rate, CPU, write-ahead log. Then how long the sweeper, every page
of the console and every list of the API take, beside a history of a thousand payments.
"""

import argparse
import datetime
import re
import statistics
import time

import common
import defray
import history
import psycopg
import requests
from api import SECRET, web

from books import clock, passwords, people
from rules.people import Role
from settings import load
from tasks import context, forget, retry, sweep
from web import api, console, metrics

GROWN, SMALL = "bench_history", "bench_pattern"
REPEAT = 5
PASSWORD = "correct horse battery staple"
TODAY = datetime.datetime.now(datetime.UTC).date()
NO_PAGES = {"/console/login", "/console/login/code", "/console/payments/{payment_id}/cancel"}
"""Of no table, or of what this payment does not have."""
ASKED = {
    "/console/find": ["q=ada", "q=HC77", "q=I777", "q=1111", "q=nobody"],
    "/console/find/results": ["q=ad"],
    "/console/header": ["known=0"],
    "/console/customers/{customer_id}": ["", "show=paid", "show=all"],
    "/console/batches": ["", "before=200"],
    "/console/batches/{batch_id}": ["", "state=posted", "state=declined"],
    "/console/retries": ["", f"day={TODAY}"],
    "/console/deposits": [f"day={TODAY}", "account=clearing:payflow&currency=USD"],
    "/console/charts": ["", "days=90", "days=365"],
    "/console/aging": ["", f"as_of={TODAY - datetime.timedelta(30)}"],
    "/console/aging.csv": [f"as_of={TODAY}"],
    "/console/customers/{customer_id}/statement": ["", f"first={TODAY - datetime.timedelta(900)}&to={TODAY}"],
    "/v1/customers": ["limit=200", "limit=200&after=1000000"],
    "/v1/invoices": ["limit=200", "limit=200&customer={number}", "limit=200&customer={number}&state=pending",
                     "number={invoice}"],
    "/v1/payments": ["limit=200", "limit=200&customer={number}", "limit=200&batch={batch_id}",
                     "limit=200&batch={batch_id}&state=declined", "customer={number}&method=check",
                     "customer={number}&recorded_from=2030-01-01T00:00:00Z", "idempotency_key=key-77"],
    "/v1/credits": ["customer={number}"],
    "/v1/events": ["limit=200", "limit=200&type=payment.declined"],
}  # fmt: skip
KNOWN = """
    SELECT c.id AS customer_id, c.number, i.id AS invoice_id, i.number AS invoice, p.id AS payment_id, p.batch_id,
           k.id AS credit_id, a.id AS allocation_id
    FROM credits k JOIN allocations a ON a.credit_id = k.id JOIN customers c ON c.id = k.customer_id
    JOIN payments p ON p.customer_id = c.id AND p.gateway IS NOT NULL AND p.state = 'posted'
    JOIN allocations paid ON paid.payment_id = p.id JOIN invoices i ON i.id = paid.invoice_id
    ORDER BY k.id, p.id LIMIT 1"""


def batches(size, workers, payments, repeat):
    """The same batch on the empty and on the grown database, with so many workers, one beside the other."""
    for processes in workers:
        for round_ in range(repeat):
            for grown in (0, payments):
                kept = {"database": GROWN, "kept": True, "prefix": f"w{processes}-{round_}-"} if grown else {}
                about = {"history": grown, "processes": processes}
                defray.run("growth", size, "50", 2, 300, processes=processes, about=about, **kept)


def addresses(known):
    """Every page and every list that there is: (its pattern, with its question; address)."""
    for router in (*console.ROUTERS, *api.ROUTERS, metrics.router):
        for route in router.routes:
            if "GET" not in getattr(route, "methods", ()) or route.path in NO_PAGES or "{" in left(route.path, known):
                continue
            for question in ASKED.get(route.path, [""]):
                asked = f"{route.path}{'?' if question else ''}{question}"
                yield re.sub(r":\w+}", "}", asked), left(asked, known)


def left(path, known):
    """A path with what is known put in."""
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: str(known.get(found[1], found[0])), path)


def clerk(base, house):
    """A browser in which somebody who may do all is logged in, and who may ask the API, too."""
    with house.engine.begin() as conn:
        people.add(conn, "bench", passwords.hashed(PASSWORD), Role.ADMIN, clock.now(conn), "bench")
    browser = requests.Session()
    browser.trust_env = False
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(f"{base}/console/login", timeout=60).text)[1]
    form = {"csrf_token": token, "name": "bench", "password": PASSWORD, "next": ""}
    browser.post(f"{base}/console/login", data=form, timeout=60).raise_for_status()
    return browser


def pages(name, payments):
    """How long each page and each list takes on a database, and how long the sweeper's looks do."""
    house = defray.House(name, "check", 0, 10, "0", 100, "payflow", kept=True)
    with psycopg.connect(house.dsn) as db:
        db.execute("TRUNCATE users, sessions, api_keys CASCADE")
        row = db.execute(KNOWN)
        known = dict(zip([column.name for column in row.description], row.fetchone(), strict=True))
    looks = context.build(load(house.environment), house.engine, house.wake)
    for task in (sweep, retry, forget):
        tell(f"the task {task.__name__.rpartition('.')[2]}", payments, lambda work=task.work: work(looks))
    with web(house) as port:
        base = f"http://127.0.0.1:{port}"
        browser, app = clerk(base, house), requests.Session()
        app.trust_env, app.headers["Authorization"] = False, f"Bearer {SECRET}"
        refused = []
        for asked, address in addresses({**known, "name": "bench"}):
            by = app if address.startswith("/v1") else browser

            def ask(by=by, address=address):
                answer = by.get(base + address, timeout=120, allow_redirects=False)
                if answer.status_code >= 400:
                    refused.append(f"{answer.status_code} {address}")

            tell(asked, payments, ask)
    house.close()
    if refused:
        raise SystemExit("These were refused:\n" + "\n".join(dict.fromkeys(refused)))


def tell(asked, payments, act):
    """Emit how long it took: the first time, when nothing of it may have been in memory, and after that."""
    took = []
    for _ in range(REPEAT + 1):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1000)
    common.emit(
        bench="ask", asked=asked, history=payments, first_ms=round(took[0], 1),
        median_ms=round(statistics.median(took[1:]), 1), worst_ms=round(max(took[1:]), 1),
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("payments", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=2_500)
    parser.add_argument("--workers", default="1,2,4,8")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="take the history that is there; leave it there")
    parser.add_argument("--only", choices=("batches", "pages", "history"))
    asked = parser.parse_args()
    if not asked.keep or not common.exists(GROWN):
        history.check_disk(asked.payments)
        built = history.build(GROWN, asked.payments)
        proved = history.prove(common.address(GROWN))
        common.emit(
            bench="history", payments=asked.payments, seconds=round(built), audit_s=round(proved, 1),
            bytes=common.size(GROWN),
        )  # fmt: skip
    if not asked.keep or not common.exists(SMALL):
        history.build(SMALL, history.PATTERN)
    if asked.only in (None, "pages"):
        for name, payments in ((SMALL, history.PATTERN), (GROWN, asked.payments)):
            pages(name, payments)
    if asked.only in (None, "batches"):
        workers = [int(processes) for processes in asked.workers.split(",")]
        batches(asked.batch, workers, asked.payments, asked.repeat)
        history.prove(common.address(GROWN))
    if not asked.keep:
        for name in (GROWN, SMALL):
            common.drop(name)


if __name__ == "__main__":
    main()
