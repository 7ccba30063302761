"""Fake card gateway on loopback: POST /pay/<latency ms>[t], name-value body in, ~200-byte name-value reply out.

POST /<gateway>/<latency ms>[t]/... takes what Defray's adapters send to payflow, plugnpay, stripe (a customer, its
intent), paypal (a token, an order, its capture) and authorizenet: sales only, all approved. The reply repeats amount
and reference where the real one does, since the adapters compare them. GET /served tells how many payments were
answered.

One process, asyncio Protocol on uvloop, keep-alive; about 15 us of CPU a request, so that it weighs little.
"""

import asyncio
import random
import re
import sys

import uvloop

FORM = b"application/x-www-form-urlencoded"
LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
PAYFLOW = re.compile(rb"(?<![^&])(AMT|CUSTREF)\[\d+\]=([^&]*)")
PLUGNPAY = re.compile(rb"(?<![^&])(orderID|card-amount|currency)=([^&]*)")
CUSTOMER = re.compile(rb"&customer=(\w+)")
STRIPE = re.compile(rb"amount=(\d+)&currency=(\w+)&.*metadata%5Bmerchant_reference%5D=(\d+)")
PAYPAL = re.compile(rb'"custom_id":"(\d+)".*"currency_code":"(\w+)","value":"([\d.]+)"')
PAYPAL_ORDER = re.compile(rb"/v2/checkout/orders/O(\d+)X(\d+)([A-Z]{3})/capture")
AUTHORIZENET = re.compile(rb'"refId":"(\d+)"')


def payflow(number, _path, asked):
    body = (
        b"RESULT=0&PNREF=V%011d&RESPMSG=Approved&AUTHCODE=%06d&AVSADDR=Y&AVSZIP=Y&IAVS=N"
        b"&CVV2MATCH=Y&PROCAVS=Y&PROCCVV2=M&HOSTCODE=A&RESPTEXT=AP&CARDTYPE=0&TRANSTIME=2026-01-31+12:00:00"
        b"&DUPLICATE=0"
    ) % (number, number % 1000000)
    return body + b"".join(b"&%s=%s" % pair for pair in PAYFLOW.findall(asked))


def plugnpay(number, _path, asked):
    body = (
        b"FinalStatus=success&IPaddress=127.0.0.1&MStatus=success&auth-code=%06d&auth-msg=00&avs-code=Y&cvvresp=M"
        b"&resp-code=00&merchant=merchant&mode=auth&card-type=VISA&refnumber=%012d&success=yes"
    ) % (number % 1000000, number)
    return body + b"".join(b"&%s=%s" % pair for pair in PLUGNPAY.findall(asked))


def stripe(number, path, asked):
    if path.endswith(b"/customers"):
        return b'{"id":"cus_%014d","object":"customer","livemode":false}' % number
    kept_by = CUSTOMER.search(asked)
    customer = b'"%b"' % kept_by[1] if kept_by else b"null"
    amount, currency, reference = STRIPE.search(asked).groups()
    return (
        b'{"id":"pi_3N%016d","object":"payment_intent","amount":%b,"amount_capturable":0,"amount_received":%b,'
        b'"currency":"%b","status":"succeeded","capture_method":"automatic","created":1769860800,"customer":%b,'
        b'"last_payment_error":null,"livemode":false,"metadata":{"merchant_reference":"%b"},'
        b'"payment_method":"pm_1N%016d","latest_charge":{"id":"ch_3N%016d","object":"charge","amount":%b,'
        b'"amount_captured":%b,"amount_refunded":0,"captured":true,"currency":"%b","disputed":false,"paid":true,'
        b'"payment_method_details":{"card":{"authorization_code":"%06d","brand":"visa","checks":'
        b'{"address_line1_check":"pass","address_postal_code_check":"pass","cvc_check":"pass"},"last4":"0000",'
        b'"network_transaction_id":"%015d"},"type":"card"},"refunded":false,"status":"succeeded"}}'
    ) % (
        number, amount, amount, currency, customer, reference, number, number, amount, amount, currency,
        number % 1000000, number,
    )  # fmt: skip


def paypal(number, path, asked):
    if path.endswith(b"/token"):
        return b'{"access_token":"not-a-secret","token_type":"Bearer","expires_in":32400}'
    capture = PAYPAL_ORDER.search(path)
    if capture:
        reference, minor, currency = capture.groups()
        value = b"%d.%02d" % divmod(int(minor), 100)
        order_id, status = path.split(b"/")[-2], b"COMPLETED"
        payments = (
            b',"payments":{"captures":[{"id":"%017d","status":"COMPLETED","amount":{"currency_code":"%b","value":"%b"},'
            b'"final_capture":true,"invoice_id":"%b","custom_id":"%b","create_time":"2026-01-31T12:00:00Z",'
            b'"network_transaction_reference":{"id":"%015d","network":"VISA"},"processor_response":'
            b'{"avs_code":"Y","cvv_code":"M","response_code":"0000"}}]}'
        ) % (number, currency, value, reference, reference, number)
    else:
        reference, currency, value = PAYPAL.search(asked).groups()
        order_id = b"O%bX%b%b" % (reference, value.replace(b".", b""), currency)
        status, payments = b"CREATED", b""
    return (
        b'{"id":"%b","intent":"CAPTURE","status":"%b","purchase_units":[{"reference_id":"default","amount":'
        b'{"currency_code":"%b","value":"%b"},"custom_id":"%b","invoice_id":"%b"%b}],'
        b'"create_time":"2026-01-31T12:00:00Z"}'
    ) % (order_id, status, currency, value, reference, reference, payments)


def authorizenet(number, _path, asked):
    return (
        b'{"transactionResponse":{"responseCode":"1","authCode":"%06d","avsResultCode":"Y","cvvResultCode":"M",'
        b'"cavvResultCode":"2","transId":"6%010d","refTransID":"","testRequest":"0","accountNumber":"XXXX0000",'
        b'"accountType":"Visa","messages":[{"code":"1","description":"This transaction has been approved."}],'
        b'"transHashSha2":"","networkTransId":"%015d"},"refId":"%b","messages":{"resultCode":"Ok","message":'
        b'[{"code":"I00001","text":"Successful."}]}}'
    ) % (number % 1000000, number, number, AUTHORIZENET.search(asked)[1])


def pay(number, path, _asked):
    return payflow(number, path, b"")


SPEAKS = {one.__name__.encode(): one for one in (pay, payflow, plugnpay, stripe, paypal, authorizenet)}
TYPES = dict.fromkeys((b"stripe", b"paypal", b"authorizenet"), b"application/json")


def answer(body, kind=FORM):
    return (b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))) + body


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
            whole = head[: head.index(b" ", 5)].partition(b"/")[2]
            path = whole.split(b"/")  # b"POST /pay/50 HTTP/1.1"; 50t: with a tail
            if path[0] == b"served":
                self.transport.write(answer(b"%d" % Gateway.served))
                continue
            if not whole.endswith((b"/customers", b"/token", b"/orders")):
                Gateway.served += 1
            reply = answer(SPEAKS[path[0]](Gateway.served, whole, asked), TYPES.get(path[0], FORM))
            wait = path[1]
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
