"""procrastinate: `procrastinate --app jobs_procrastinate.app worker --concurrency C`, one job per payment."""

import common
import model_async
import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=common.DSN))


@app.task
async def charge(payment_id):
    await model_async.charge(payment_id)


@app.task
async def noop(payment_id):
    pass
