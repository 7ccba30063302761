"""Fake card gateway on loopback: POST /pay/<latency ms>[t], name-value body in, ~200-byte name-value reply out.

POST /payflow/<latency ms>[t] takes what Defray's Payflow adapter sends: the reply repeats AMT and CUSTREF, which the
adapter compares with what it asked for. GET /served tells how many requests were answered.

One process, asyncio Protocol on uvloop, keep-alive; about 15 us of CPU a request, so that it weighs little.
"""

import asyncio
import random
import re
import sys

import uvloop

LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
REPEATED = re.compile(rb"(?<![^&])(AMT|CUSTREF)\[\d+\]=([^&]*)")


def answer(body):
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body


class Gateway(asyncio.Protocol):
    served = 0

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self.buffer, 0, end)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                if b"100-continue" in self.buffer[:end]:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            head, asked, self.buffer = self.buffer[:end], self.buffer[end + 4 : total], self.buffer[total:]
            path = head[: head.index(b" ", 5)].split(b"/")  # b"POST /pay/50 HTTP/1.1"; 50t: with a tail
            if path[1] == b"served":
                self.transport.write(answer(b"%d" % Gateway.served))
                continue
            Gateway.served += 1
            body = (
                b"RESULT=0&PNREF=V%011d&RESPMSG=Approved&AUTHCODE=%06d&AVSADDR=Y&AVSZIP=Y&IAVS=N"
                b"&CVV2MATCH=Y&PROCAVS=Y&PROCCVV2=M&HOSTCODE=A&RESPTEXT=AP&CARDTYPE=0&TRANSTIME=2026-01-31+12:00:00"
                b"&DUPLICATE=0"
            ) % (Gateway.served, Gateway.served % 1000000)
            if path[1] == b"payflow":
                body += b"".join(b"&%s=%s" % pair for pair in REPEATED.findall(asked))
            reply = answer(body)
            wait = path[2]
            if wait != b"0":
                seconds = int(wait.rstrip(b"t")) / 1000
                if wait.endswith(b"t"):  # half of it fixed, half exponential, 1 in 100 ten times as long
                    seconds *= 0.5 + 0.5 * random.expovariate(1) if random.random() > 0.01 else 10
                asyncio.get_running_loop().call_later(seconds, self.reply, reply)
            else:
                self.transport.write(reply)

    def reply(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)


async def main(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Gateway, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 18081))
