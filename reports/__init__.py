"""Reading the reports in which gateways tell what they settled: bytes in, `ReportLine`s out. Docs: docs/reconcile.md.

Pure parsers, one file a gateway; they call nobody and know no gateway's HTTP code, so that the edges may use them.
"""

from __future__ import annotations

from typing import Final

from reports import authorizenet, payflow, paypal, plugnpay, stripe
from reports.form import Form

FORMS: Final[dict[str, Form]] = {
    form.gateway: form for form in (payflow.FORM, plugnpay.FORM, paypal.FORM, stripe.FORM, authorizenet.FORM)
}
"""The form of each gateway's report, by the gateway's name."""
