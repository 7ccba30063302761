"""Tables and the plot of docs/performance.md from the lines that `run.py` wrote: `report.py [FILE] [--write]`.

Without --write the tables are printed. Each figure is the median of its runs; only ratios within one file carry over.
"""

import argparse
import collections
import json
import pathlib
import statistics

HERE = pathlib.Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
PAGE = DOCS / "performance.md"
PLOT = DOCS / "img" / "performance.svg"
BEGIN, END = "<!-- figures: made by bench/report.py -->\n", "<!-- end of figures -->\n"

LABELS = {
    "naive-prefork2": "Celery prefork, 2 processes, ORM, `requests.post`",
    "naive-prefork8": "the same, 8 processes",
    "prefork2-sql": "Celery prefork, 2 processes, bare SQL, `Session`",
    "threads50-session": "Celery, 50 threads, ORM, `Session`",
    "gevent200-session": "Celery, gevent 200, ORM, `Session`",
    "dramatiq-p2t50": "dramatiq, 2 processes × 50 threads, ORM",
    "procrastinate-c100": "procrastinate, 100 at once, async ORM, aiohttp",
    "chunk100-adapter-p2": "prototype: chunks of 100, bare SQL on stand-in tables",
    "defray-p2": "**Defray**, 2 processes",
    "defray-p2-w100": "**Defray**, 2 processes, DEFRAY_WINDOW=100",
    "defray-p2-w500": "**Defray**, 2 processes, DEFRAY_WINDOW=500",
    "defray-p2-one-customer": "**Defray**, all payments of one customer",
    "defray-checks-p2": "checks, ten of each customer",
    "defray-checks-p2-one-customer": "checks, all of one customer",
}
BASE = "naive-prefork2"
GATEWAYS = {
    "payflow": "Payflow Pro",
    "plugnpay": "Plug'n Pay",
    "stripe": "Stripe",
    "paypal": "PayPal",
    "authorizenet": "Authorize.Net",
}


def median(rows, key):
    return statistics.median(key(row) for row in rows)


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


ANSWERS = {0: "at once", 50: "after 50 ms", "50t": "after 50 ms, one in a hundred after 500", 500: "after 500 ms"}
"""When the gateway answers, by the latency that the results tell."""


class Figures:
    def __init__(self, rows):
        self.machine = next(row for row in rows if row["bench"] == "machine")
        self.loads = [row["load"] for row in rows]
        self.calls = [row for row in rows if row["bench"] == "api"]
        self.besides = [row for row in rows if row["bench"] == "beside"]
        self.finds = [row for row in rows if row["bench"] == "find"]
        self.bounds = [row for row in rows if row["bench"] == "limit"]
        self.starts = [row for row in rows if row["bench"] == "startup"]
        self.asks = [row for row in rows if row["bench"] == "ask"]
        self.histories = [row for row in rows if row["bench"] == "history"]
        self.grown = [row for row in rows if row["bench"] == "charge" and row["config"] == "growth"]
        self.charges = collections.defaultdict(list)
        self.messages = collections.defaultdict(list)
        self.spreads = collections.defaultdict(list)
        self.clients = collections.defaultdict(list)
        for row in rows:
            if row["bench"] == "charge":
                self.charges[row["config"], row["latency_ms"], row["n"]].append(row)
            elif row["bench"] == "allocate":
                self.spreads[row["how"], row["n"]].append(row)
            elif row["bench"] == "messages":
                self.messages[row["gateway"]].append(row)
            elif row["bench"] == "http":
                self.clients[row["client"], row["mode"]].append(row)

    def config(self, config, latency):
        """The runs of a configuration at the size that was run most often."""
        sizes = [rows for (name, ms, _), rows in self.charges.items() if (name, ms) == (config, latency)]
        return max(sizes, key=len, default=[])

    def rate(self, config, latency):
        return median(self.config(config, latency), lambda row: row["per_s"])

    def charging(self, latency):
        heads = ["", "payments/s", f"× {BASE}", "worker", "postgres", "gateway", "broker", "all",
                 "commits", "fsyncs", "WAL bytes", "peak MiB"]  # fmt: skip
        rows = []
        for config, label in LABELS.items():
            found = self.config(config, latency)
            if not found or config.startswith("defray-checks"):
                continue
            cpu = [
                median(found, lambda row, of=of: row["cpu_us"][of]) for of in ("worker", "postgres", "gateway", "redis")
            ]
            rest = [median(found, lambda row, of=of: row[of]) for of in ("cpu_us_all", "commits_per", "syncs_per")]
            wal, peak = (median(found, lambda row, of=of: row[of]) for of in ("wal_bytes_per", "peak_rss_mib"))
            rate = self.rate(config, latency)
            ratio = number(rate / self.rate(BASE, latency))
            rows.append([label, number(rate), ratio, *(f"{us:,.0f}" for us in (*cpu, rest[0])),
                         *(f"{value:.3f}" for value in rest[1:]), f"{wal:,.0f}", f"{peak:,.0f}"])  # fmt: skip
        return table(heads, rows)

    def answers(self):
        heads = ["gateway answers, Defray, 2 processes", "payments/s", "worker CPU µs", "all CPU µs", "commits",
                 "peak MiB"]  # fmt: skip
        rows = []
        for latency, said in ANSWERS.items():
            if found := self.config("defray-p2", latency):
                worker = median(found, lambda row: row["cpu_us"]["worker"])
                every, commits, peak = (
                    median(found, lambda row, of=of: row[of]) for of in ("cpu_us_all", "commits_per", "peak_rss_mib")
                )
                rate = number(self.rate("defray-p2", latency))
                rows.append([said, rate, f"{worker:,.0f}", f"{every:,.0f}", f"{commits:.3f}", f"{peak:,.0f}"])
        return table(heads, rows)

    def gateways(self):
        rows = []
        for gateway, label in GATEWAYS.items():
            found, rate = self.config(f"defray-p2-{gateway}", 50), self.rate(f"defray-p2-{gateway}", 50)
            cpu = [median(found, lambda row, of=of: row["cpu_us"][of]) for of in ("worker", "postgres")]
            told = self.messages[gateway]
            micros = [median(told, lambda row, of=of: row[of]) for of in ("sale_us", "declined_us", "inquiry_us")]
            asked, looked = (told[0][of] for of in ("exchanges", "inquiry_exchanges"))
            rows.append([label, number(rate), number(rate / self.rate("defray-p2-payflow", 50)), asked,
                         *(f"{us:,.0f}" for us in cpu), *(f"{us:,.0f}" for us in micros), looked])  # fmt: skip
        heads = ["", "payments/s", "× Payflow Pro", "requests a sale", "worker CPU µs", "postgres CPU µs",
                 "messages of a sale, µs", "of a decline, µs", "of an inquiry, µs", "requests an inquiry"]  # fmt: skip
        loads = [row["load"] for gateway in GATEWAYS for row in self.config(f"defray-p2-{gateway}", 50)]
        note = f"Two processes; load average {min(loads):.1f} to {max(loads):.1f} here, so compare within this table."
        return [*table(heads, rows), note, ""]

    def sizes(self):
        found = sorted((n, rows) for (name, ms, n), rows in self.charges.items() if (name, ms) == ("defray-p2", 50))
        heads = ["payments in one batch", "payments/s", "CPU µs a payment, all", "largest worker process, MiB",
                 "worker tree, MiB (PSS)", "producer, MiB"]  # fmt: skip
        keys = ("per_s", "cpu_us_all", "largest_rss_mib", "pss_mib", "producer_rss_mib")
        rows = [[f"{n:,}", *(number(median(rows, lambda row, of=of: row[of])) for of in keys)] for n, rows in found]
        return table(heads, rows)

    def recording(self):
        found = self.config("defray-p2", 50)
        n = found[0]["n"]
        delays = self.config(BASE, 50)
        record = median(found, lambda row: row["record_s"]) / n * 1e6
        cpu = {of: median(found, lambda row, of=of: row["record_cpu_us"][of]) for of in ("producer", "postgres")}
        rows = [
            ["record (one transaction)", f"{record:,.0f}", f"{cpu['producer']:,.0f}", f"{cpu['postgres']:,.0f}"],
            ["seal its card in the vault", f"{median(found, lambda row: row['seal_us']):,.0f}", "", ""],
            ["wake the workers", number(median(found, lambda row: row["enqueue_s"]) / n * 1e6), "", ""],
            [f"beside it: one `delay` a payment ({BASE})",
             f"{median(delays, lambda row: row['enqueue_s'] / row['n'] * 1e6):,.0f}", "", ""],
        ]  # fmt: skip
        wal = median(found, lambda row: row["record_wal_bytes_per"])
        heads = ["µs a payment", "time", "producer CPU", "postgres CPU"]
        return [*table(heads, rows), f"Recording writes {wal:,.0f} bytes of WAL a payment.", ""]

    def posting(self):
        rows = []
        for config in ("defray-checks-p2", "defray-checks-p2-one-customer"):
            found = self.config(config, 0)
            cpu = [median(found, lambda row, of=of: row["cpu_us"][of]) for of in ("worker", "postgres")]
            wal = median(found, lambda row: row["wal_bytes_per"])
            rows.append([LABELS[config], number(self.rate(config, 0)), *(f"{us:,.0f}" for us in cpu), f"{wal:,.0f}"])
        return table(["", "payments/s", "worker CPU µs", "postgres CPU µs", "WAL bytes"], rows)

    def spreading(self):
        hows = list(dict.fromkeys(how for how, _ in self.spreads))
        sizes = sorted({n for _, n in self.spreads})

        def ms(how, n):
            found = self.spreads.get((how, n))
            return median(found, lambda row: row["seconds"]) * 1000 if found else None

        rows = [[how, *("" if ms(how, n) is None else number(ms(how, n)) for n in sizes)] for how in hows]
        for best in ("Defray: one statement", "one statement"):
            ratios = [number(ms("Defray: post", n) / ms(best, n)) for n in sizes]
            rows.append([f"*Defray: post ÷ {best}*", *ratios])
        return table(["ms for one check over ... invoices", *(f"{n:,}" for n in sizes)], rows)

    def limits(self):
        keys = ("per_s", "client_cpu_us", "gateway_cpu_us")
        rows = [
            [f"{client} ({mode})", *(f"{median(found, lambda row, of=of: row[of]):,.0f}" for of in keys)]
            for (client, mode), found in self.clients.items()
        ]
        return table(["client, one process, 50 ms", "requests/s", "client CPU µs", "gateway CPU µs"], rows)

    def bounded(self):
        heads = ["", "payments/s", "Defray's share of it", "CPU µs a payment", "WAL bytes", "rows"]
        parts = []
        for one in self.bounds:
            client, database = one["client"], one["database"]
            parts += [
                f"{one['n']:,} payments, two processes, {one['cores']} cores; the gateway answers"
                f" {ANSWERS[one['latency_ms']]}.",
                "",
                *table(heads, [
                    ["**Defray**", number(one["defray_per_s"]), "", f"{one['defray_cpu_us']:,}",
                     f"{one['defray_wal_bytes_per']:,}", one["defray_rows_per"]],
                    ["the bare client: the same bytes, no database", number(client["per_s"]), f"{one['of_client']:.0%}",
                     f"{client['client_cpu_us'] + client['gateway_cpu_us']:,}", "", ""],
                    ["the bare database: the same rows in single statements", number(database["per_s"]),
                     f"{one['of_database']:.0%}", f"{database['postgres_cpu_us']:,}",
                     f"{database['wal_bytes_per']:,}", database["rows_per"]],
                    ["what the cores allow for these two and the gateway", number(one["allowed_per_s"]),
                     f"{one['of_allowed']:.0%}", "", "", ""],
                ]),
            ]  # fmt: skip
        return parts

    def starting(self):
        rows = [
            [one["what"], number(one["ms"]), number(one["cpu_ms"]), one.get("pss_mib", ""), one.get("processes", "")]
            for one in self.starts
        ]
        return table(["start-up", "ms", "CPU ms", "memory at rest, MiB (PSS)", "processes"], rows)

    def growing(self):
        """Batches beside a history, then what takes longer beside it; the rest in one sentence."""
        said = [
            f"A history of {one['payments']:,} payments ({one['bytes'] / 1e9:.1f} GB) was made in"
            f" {one['seconds']:,} s and audited in {one['audit_s']:,.0f} s."
            for one in self.histories
        ]
        histories = sorted({row["history"] for row in self.grown})
        rows = []
        for processes in sorted({row["processes"] for row in self.grown}):
            rates, cpu = (
                [
                    median([r for r in self.grown if (r["processes"], r["history"]) == (processes, history)], of)
                    for history in histories
                ]
                for of in (lambda row: row["per_s"], lambda row: row["cpu_us_all"])
            )
            rows.append([processes, *map(number, rates), f"{rates[-1] / rates[0]:.2f}", *(f"{us:,.0f}" for us in cpu)])
        heads = ["worker processes", *(f"payments/s beside {n:,}" for n in histories), "last ÷ first",
                 *(f"CPU µs beside {n:,}" for n in histories)]  # fmt: skip
        return [*said, "", *(table(heads, rows) if rows else []), *self.asking()]

    def asking(self):
        if not self.asks:
            return []
        small, large = (pick(row["history"] for row in self.asks) for pick in (min, max))
        few, many = (
            {row["asked"]: row for row in self.asks if row["history"] == history} for history in (small, large)
        )
        longer = {
            asked: row for asked, row in many.items()
            if row["median_ms"] > max(2 * few[asked]["median_ms"], few[asked]["median_ms"] + 10)
        }  # fmt: skip
        rows = [
            [f"`{asked}`", number(few[asked]["median_ms"]), number(row["median_ms"]), number(row["first_ms"])]
            for asked, row in sorted(longer.items(), key=lambda pair: -pair[1]["median_ms"])
        ]
        rest = [row["median_ms"] for asked, row in many.items() if asked not in longer]
        heads = ["ms, what takes more than twice as long", f"beside {small:,}", f"beside {large:,}", "the first time"]
        note = (
            f"The other {len(rest)} pages, lists and tasks take {statistics.median(rest):.0f} ms at the median beside"
            f" {large:,} payments, {max(rest):.0f} ms at the most."
        )
        return [*(table(heads, rows) if rows else []), note, ""]

    def finding(self):
        rows = [[one["asked"], number(one["median_ms"]), number(one["worst_ms"])] for one in self.finds]
        return table(["ms to find a customer by", "median", "worst of 20"], rows)

    def api(self):
        heads = ["call, one web process", "clients", "requests/s", "p50, ms", "p99, ms"]
        rows = [
            [one["call"], one["clients"], number(one["per_s"]), number(one["p50_ms"]), number(one["p99_ms"])]
            for one in self.calls
        ]
        return table(heads, rows)

    def beside(self):
        heads = ["single card payments by API", "batch", "gateway, ms", "recorded to posted, p50 ms", "worst, ms",
                 "answered, p50 ms", "within twice the gateway"]  # fmt: skip
        rows = [
            [one["how"], f"{one['n']:,}", one["latency_ms"], number(one["p50_ms"]), number(one["worst_ms"]),
             number(one["answered_p50_ms"]), f"{one['within_twice']:.0%}"]
            for one in self.besides
        ]  # fmt: skip
        return table(heads, rows)

    def text(self):
        machine = self.machine
        lines = [
            f"Measured {machine['at']}: {machine['cores']} cores, Python {machine['python']}, PostgreSQL"
            f" {machine['postgres']}, fsync on; medians. Load average, this work included: {min(self.loads):.1f} to"
            f" {max(self.loads):.1f}.",
            "",
        ]
        for heading, part in (
            ("Charging, gateway answers after 50 ms", self.charging(50)),
            ("Charging, gateway answers at once", self.charging(0)),
            ("Charging, however long the gateway takes", self.answers()),
            ("Charging at each gateway, which answers after 50 ms", self.gateways()),
            ("Size of the batch", self.sizes()),
            ("Recording and waking", self.recording()),
            ("Posting without a gateway", self.posting()),
            ("One check over many invoices", self.spreading()),
            ("What an HTTP client can do", self.limits()),
            *([("Beside the bare client and the bare database", self.bounded())] if self.bounds else []),
            *([("Beside a long history", self.growing())] if self.histories or self.asks or self.grown else []),
            *([("Starting", self.starting())] if self.starts else []),
            *([("Finding a customer among a million, in the console", self.finding())] if self.finds else []),
            *([("Calls of the API, beside a framework that answers a constant", self.api())] if self.calls else []),
            *([("A person's payment while a batch is charged", self.beside())] if self.besides else []),
        ):
            lines += [f"### {heading}", "", *part]
        return "\n".join(lines)

    def plot(self):
        import matplotlib as mpl

        mpl.use("svg")
        mpl.rcParams["svg.hashsalt"] = "defray"
        from matplotlib import pyplot as plt

        shown = [config for config in LABELS if self.config(config, 50) and not config.startswith("defray-checks")]
        rates = [self.rate(config, 50) for config in shown]
        names = [LABELS[config].replace("`", "").replace("*", "") for config in shown]
        colours = ["#1f6f5c" if config.startswith("defray") else "#9aa5b1" for config in shown]
        figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
        bars = axes.barh(names[::-1], rates[::-1], color=colours[::-1])
        axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates[::-1]], padding=3)
        axes.set_xscale("log")
        axes.set_xlim(10, max(rates) * 3)
        axes.set_xlabel("payments charged a second, gateway 50 ms (logarithmic)")
        axes.spines[["top", "right"]].set_visible(False)
        PLOT.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(PLOT, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=pathlib.Path, default=HERE / "out" / "results.jsonl")
    parser.add_argument("--write", action="store_true", help="put tables and plot into docs/")
    asked = parser.parse_args()
    figures = Figures([json.loads(line) for line in asked.file.read_text().splitlines()])
    if not asked.write:
        print(figures.text())
        return
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{figures.text()}\n{END}{rest.split(END)[1]}")
    figures.plot()


if __name__ == "__main__":
    main()
