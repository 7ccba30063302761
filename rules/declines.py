"""What a decline means, and what to tell clerk and customer: by the gateway's own code, else the issuer's, else class.

A customer never hears of loss, theft or suspicion: that is between them and their bank. Whether and when it is tried
again is no part of these texts; `rules.retry` says so.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rules.outcomes import DeclineClass


class Told(NamedTuple):
    """What a decline means (for the office), what the clerk should do, what the customer may hear.

    The advice does for `fits` and what is softer.
    """

    meaning: str
    clerk: str
    customer: str
    fits: DeclineClass


BY_CLASS: Final[dict[DeclineClass, Told]] = {
    DeclineClass.SOFT_TECHNICAL: Told(
        "the bank could not be reached",
        "Ask the payer for another card or another way to pay.",
        "Your bank could not be reached. Please use another card or another way to pay.",
        DeclineClass.SOFT_TECHNICAL,
    ),
    DeclineClass.SOFT_DATED: Told(
        "not enough funds, or the card's limit is reached",
        "Ask the payer for another card or another way to pay.",
        "The card's funds or its limit did not allow the payment. Please use another card or another way to pay.",
        DeclineClass.SOFT_DATED,
    ),
    DeclineClass.SOFT_GENERIC: Told(
        "the bank declined without giving a reason",
        "Ask the payer to call the bank or to use another card.",
        "Your bank declined without giving a reason. Please call it or use another card.",
        DeclineClass.SOFT_GENERIC,
    ),
    DeclineClass.SOFT_UNLISTED: Told(
        "the bank declined for a reason that is not in our tables",
        "Look the code up, and ask the payer to call the bank or to use another card.",
        "Your bank declined the payment. Please call it or use another card.",
        DeclineClass.SOFT_UNLISTED,
    ),
    DeclineClass.NEW_DATA: Told(
        "the card's data must be corrected first",
        "Ask for the card's number, date and security code again; the old data is not tried any more.",
        "Please check or renew your card's details.",
        DeclineClass.NEW_DATA,
    ),
    DeclineClass.OTHER_WAY: Told(
        "the payer must settle it with the bank first",
        "The payer must call the bank or confirm the payment; then try once more, or take another card.",
        "Please confirm the payment with your bank, or use another card.",
        DeclineClass.OTHER_WAY,
    ),
    DeclineClass.HARD: Told(
        "the card was declined for good",
        "Ask for another card; give no reason, and do not try this one again.",
        "Your bank declined this card. Please use another.",
        DeclineClass.HARD,
    ),
}

# ---- what several codes share: what the clerk does, what the customer hears, the hardest class that it does for

_OTHER_CARD: Final = (
    "Take another card; do not try this one again.",
    "Your bank declined this card. Please use another.",
    DeclineClass.HARD,
)
_NO_REASON: Final = (
    "Take another card; say no reason, and do not try this one again.",
    "Your bank declined this card. Please use another.",
    DeclineClass.HARD,
)
_NOT_ALLOWED: Final = (
    "Take another card; the payer's bank can lift the block.",
    "Your card doesn't allow this payment. Please use another.",
    DeclineClass.HARD,
)
_NOT_FOR_THIS: Final = (
    "Check kind and currency of the payment; take another card.",
    "This card can't be used for this payment. Please use another.",
    DeclineClass.HARD,
)
_CALL: Final = (
    "The payer calls the bank, then one more try.",
    "Please call your bank, then tell us, or use another card.",
    DeclineClass.OTHER_WAY,
)
_CONFIRM: Final = (
    "The payer must confirm with the bank, then one try; or take another card.",
    "Please confirm the payment with your bank, or use another card.",
    DeclineClass.OTHER_WAY,
)
_AUTHENTICATE: Final = (
    "The payer must authenticate, which cannot be done here: another card or another way to pay.",
    "Please confirm this payment with your bank, or use another card.",
    DeclineClass.OTHER_WAY,
)
_PIN: Final = (
    "The bank must see to the card's PIN; take another card.",
    "Please use another card, or call your bank.",
    DeclineClass.OTHER_WAY,
)
_NUMBER: Final = (
    "Ask for the number again; no try with the old one.",
    "Please check or renew your card number.",
    DeclineClass.NEW_DATA,
)
_DATE: Final = (
    "Ask for the new date or card.",
    "Your card has expired, or its date does not fit. Please update it.",
    DeclineClass.NEW_DATA,
)
_CODE: Final = (
    "Ask for the security code again.",
    "The security code doesn't match. Please check it.",
    DeclineClass.NEW_DATA,
)
_ADDRESS: Final = (
    "Compare address and postal code with the card's statement.",
    "The address doesn't match your card's. Please check it.",
    DeclineClass.NEW_DATA,
)
_DATA: Final = ("Ask for the card's data again.", "Please enter your card details again.", DeclineClass.NEW_DATA)
_FUNDS: Final = (
    "No need to call at once; another card or another way to pay works now.",
    "There were not enough funds on the card. Please use another card or another way to pay.",
    DeclineClass.SOFT_DATED,
)
_LIMIT: Final = (
    "Another card works now; a smaller sum only if the payer asks.",
    "The card's limit did not allow the payment. Please use another card or another way to pay.",
    DeclineClass.SOFT_DATED,
)
_UNREACHABLE: Final = (
    "Wait, or take another card.",
    "Your bank could not be reached. Please try again, or use another card.",
    DeclineClass.SOFT_TECHNICAL,
)
_TEMPORARY: Final = (
    "Wait, or take another card.",
    "There was a problem at your bank for the moment. Please try again later.",
    DeclineClass.SOFT_TECHNICAL,
)
_CANCELLED: Final = (
    "Make a new agreement, or cancel the plan; do not try this card again.",
    "Your bank tells us that you cancelled such payments. Please choose another way to pay.",
    DeclineClass.HARD,
)
_BLOCKED_BY_THEM: Final = (
    "Take another card.",
    "Your bank or you blocked such payments. Please lift the block, or use another card.",
    DeclineClass.OTHER_WAY,
)
_OUR_RULE: Final = (
    "A rule of our account refused it: take another card, or tell an administrator.",
    "We can't take this card for this payment. Please use another.",
    DeclineClass.OTHER_WAY,
)
_OUR_SIDE: Final = (
    "Tell an administrator.",
    "There is a problem with this payment on our side. Please use another card.",
    DeclineClass.OTHER_WAY,
)
_BRAND: Final = (
    "Our account does not take such cards: take another one.",
    "We can't take this kind of card. Please use another.",
    DeclineClass.OTHER_WAY,
)
_GENERIC: Final = (
    "Ask the payer to call the bank or to use another card.",
    "Your bank declined without giving a reason. Please call it or use another card.",
    DeclineClass.SOFT_GENERIC,
)
_LATER: Final = (
    "Look the code up, and ask the payer to call the bank or to use another card.",
    "Your bank declined the payment. Please call it or use another card.",
    DeclineClass.SOFT_UNLISTED,
)

_ISSUER: Final[dict[str, Told]] = {
    # ISO 8583 field 39, where a gateway hands it on
    "01": Told("refer to the issuer", *_CALL),
    "02": Told("refer to the issuer, special condition", *_CALL),
    "04": Told("the bank wants the card picked up", *_NO_REASON),
    "05": Told("do not honour: the bank gives no reason", *_GENERIC),
    "06": Told("error at the issuer", *_TEMPORARY),
    "07": Told("the bank wants the card picked up, fraud", *_NO_REASON),
    "12": Told("invalid transaction", *_NOT_FOR_THIS),
    "14": Told("invalid card number", *_NUMBER),
    "15": Told("no such issuer: the number is wrong", *_NUMBER),
    "19": Told("the transaction is to be entered again", *_TEMPORARY),
    "28": Told("the bank's file is not available for the moment", *_TEMPORARY),
    "41": Told("lost card", *_NO_REASON),
    "43": Told("stolen card", *_NO_REASON),
    "46": Told(
        "the card's account is closed",
        "Take another card; do not try this one again.",
        "This card is no longer valid. Please use another.",
        DeclineClass.HARD,
    ),
    "51": Told("insufficient funds, or over the limit", *_FUNDS),
    "54": Told("the card expired, or its date is wrong", *_DATE),
    "55": Told("wrong PIN", *_PIN),
    "57": Told("the cardholder may not make such payments", *_NOT_ALLOWED),
    "59": Told("suspected fraud", *_CONFIRM),
    "61": Told("over the card's limit of amount", *_LIMIT),
    "62": Told("restricted card: country or kind of business", *_NOT_ALLOWED),
    "63": Told("security violation", "Check our data; take another card.", _CONFIRM[1], DeclineClass.OTHER_WAY),
    "65": Told("over the card's limit of payments", *_LIMIT),
    "70": Told("the bank wants the payer's PIN, or to be called", *_AUTHENTICATE),
    "75": Told("the PIN was tried too often", *_PIN),
    "78": Told(
        "the card is blocked or not activated yet",
        "The payer activates the card at the bank; or take another.",
        "Please activate your card with your bank, or use another.",
        DeclineClass.OTHER_WAY,
    ),
    "79": Told("life cycle of the card: it was replaced or closed", *_DATE),
    "80": Told(
        "no financial impact, or an invalid date: it differs by network",
        "Tell an administrator; take another card.",
        "Please use another card.",
        DeclineClass.HARD,
    ),
    "82": Told("a policy of the network, or the card's check failed", *_DATA),
    "83": Told("fraud or security, says the network", *_CONFIRM),
    "86": Told("the PIN cannot be verified", *_PIN),
    "91": Told("issuer or switch not available", *_UNREACHABLE),
    "92": Told(
        "no route to the issuer: the number may be wrong",
        "Check the number.",
        "Please check your card number.",
        DeclineClass.SOFT_UNLISTED,
    ),
    "93": Told(
        "cannot be completed: violation of law",
        "Take another card; do not argue.",
        "Your bank can't allow this payment. Please use another card.",
        DeclineClass.HARD,
    ),
    "96": Told("malfunction of a system", *_UNREACHABLE),
    "1A": Told("the payer must authenticate", *_AUTHENTICATE),
    "6P": Told("the payer's identity must be verified", *_AUTHENTICATE),
    "N3": Told("cash is not available on this card", *_LIMIT),
    "N4": Told("over the card's limit of cash", *_LIMIT),
    "N7": Told("the security code does not match", *_CODE),
    "R0": Told(
        "the payer stopped this payment at the bank",
        "Ask the payer for another way to pay; the plan may stay.",
        "You stopped this payment at your bank. How will you pay?",
        DeclineClass.HARD,
    ),
    "R1": Told("the payer stopped all of this merchant's charges", *_CANCELLED),
    "R3": Told("the payer stopped all recurring charges on this card", *_CANCELLED),
    "Z5": Told("valid account, but such payments are not supported", *_BLOCKED_BY_THEM),
    "5C": Told("not supported or blocked by the issuer", *_BLOCKED_BY_THEM),
    "9G": Told("blocked by the cardholder", *_BLOCKED_BY_THEM),
}


def _each(codes: str, meaning: str, advice: tuple[str, str, DeclineClass]) -> dict[str, Told]:
    return dict.fromkeys(codes.split(), Told(meaning, *advice))


_PAYFLOW: Final[dict[str, Told]] = {
    # RESULT
    **_each("12", "declined: the bank gives no reason", _GENERIC),
    **_each("13", "referral: the bank wants to be called", _CALL),
    **_each("23", "invalid account number", _NUMBER),
    **_each("24", "invalid expiration date", _DATE),
    **_each("50", "insufficient funds", _FUNDS),
    **_each("51", "above the limit for one transaction", _LIMIT),
    **_each("112", "address or postal code do not match", _ADDRESS),
    **_each("114", "the security code does not match", _CODE),
    **_each("117", "refused by a security rule of our account", _OUR_RULE),
    **_each("125", "declined by the fraud filters of our account", _NO_REASON),
    **_each("128", "declined after review by the merchant", _NO_REASON),
    **_each("150 151", "the issuing bank timed out or is not available", _UNREACHABLE),
    **_each("1000", "a generic error of the host", _GENERIC),
}
_PLUGNPAY: Final[dict[str, Told]] = {
    **_each("P01", "the address does not match", _ADDRESS),
    **_each("P02", "the security code does not match", _CODE),
    **_each("P03 P50 P66 P67 P68 P69 P70 P71 P74 P75", "refused by a fraud rule of our account", _NO_REASON),
    **_each("P30", "test transaction: bad card", _LATER),
    **_each("P55", "bad card number", _NUMBER),
    **_each("P56", "the security code is malformed", _CODE),
    **_each("P57", "the card's date is wrong or it expired", _DATE),
    **_each("P64", "the security code is wrong", _CODE),
    **_each("P65 P72 P73", "a limit of our account for this card is reached", _LIMIT),
}
_STRIPE: Final[dict[str, Told]] = {
    **_each("insufficient_funds", "insufficient funds", _FUNDS),
    **_each("card_velocity_exceeded", "over the card's limit of amount or payments", _LIMIT),
    **_each("withdrawal_count_limit_exceeded", "over the card's limit of payments", _LIMIT),
    **_each("generic_decline do_not_honor no_action_taken", "declined: the bank gives no reason", _GENERIC),
    **_each("try_again_later", "declined for the moment: the bank gives no reason", _GENERIC),
    **_each("call_issuer", "the bank wants to be called", _CALL),
    **_each("issuer_not_available", "the issuing bank is not available", _UNREACHABLE),
    **_each("processing_error", "an error while the card was processed", _TEMPORARY),
    **_each("reenter_transaction", "the transaction is to be entered again", _TEMPORARY),
    **_each("approve_with_id", "the payment cannot be authorized now", _TEMPORARY),
    **_each("service_not_allowed transaction_not_allowed not_permitted", "such payments are not allowed", _NOT_ALLOWED),
    **_each("security_violation", "declined for an unknown reason of security", _OTHER_CARD),
    **_each("card_not_supported", "the card does not support such payments", _NOT_FOR_THIS),
    **_each("currency_not_supported", "the card does not support the currency", _NOT_FOR_THIS),
    **_each("invalid_amount", "the amount is invalid, or above what the card allows", _OUR_SIDE),
    **_each("authentication_required requires_action", "the payer must authenticate", _AUTHENTICATE),
    **_each("incorrect_pin invalid_pin", "wrong PIN", _PIN),
    **_each("offline_pin_required online_or_offline_pin_required", "the bank wants a PIN", _PIN),
    **_each("pin_try_exceeded", "the PIN was tried too often", _PIN),
    **_each("expired_card", "the card has expired", _DATE),
    **_each("invalid_expiry_month invalid_expiry_year", "the card's date is wrong", _DATE),
    **_each("invalid_account", "the card or its account is invalid", _NUMBER),
    **_each("new_account_information_available", "the card was replaced", _DATA),
    **_each("incorrect_number invalid_number", "the card number is wrong", _NUMBER),
    **_each("incorrect_cvc invalid_cvc", "the security code does not match", _CODE),
    **_each("incorrect_zip", "the postal code does not match", _ADDRESS),
    **_each("lost_card", "lost card", _NO_REASON),
    **_each("stolen_card", "stolen card", _NO_REASON),
    **_each("pickup_card", "the bank wants the card picked up", _NO_REASON),
    **_each("restricted_card", "the card is restricted, or lost or stolen", _NO_REASON),
    **_each("fraudulent", "Stripe suspects fraud", _NO_REASON),
    **_each("merchant_blacklist", "the card is on our account's block list", _NO_REASON),
    **_each("stop_payment_order", "the payer stopped this payment at the bank", _ISSUER["R0"][1:]),
    **_each("revocation_of_authorization revocation_of_all_authorizations", _ISSUER["R1"].meaning, _CANCELLED),
    **_each("do_not_try_again", "the bank declined for good", _OTHER_CARD),
    **_each("testmode_decline", "a test card at a live account", _OTHER_CARD),
    **_each("duplicate_transaction", "the same amount was charged to this card just before", _GENERIC),
}
_PAYPAL: Final[dict[str, Told]] = {
    # processor_response.response_code
    **_each("0100", "refer to the issuer", _CALL),
    **_each("0390", "no such account", _NUMBER),
    **_each("0500", "do not honour: the bank gives no reason", _GENERIC),
    **_each("0580 5160", "unauthorized: the user or the transaction", _OTHER_CARD),
    **_each("0960", "malfunction of a system", _UNREACHABLE),
    **_each("0R00", "the payer cancelled the payment at the bank", _CANCELLED),
    **_each("00N7 5110 PCVV PPC2", "the security code does not match", _CODE),
    **_each("1330 1335", "invalid account", _NUMBER),
    **_each("1380", "invalid expiration date", _DATE),
    **_each("1382", "invalid security code", _CODE),
    **_each("1352 1360 1384 1393", "the transaction is not valid for this card", _NOT_FOR_THIS),
    **_each("5100 10BR", "declined: the bank gives no reason", _GENERIC),
    **_each("5120", "insufficient funds", _FUNDS),
    **_each("5130", "invalid PIN", _PIN),
    **_each("5135 5500", "the bank wants a PIN, or the PIN is wrong", _PIN),
    **_each("5140", "the card's account is closed", _OTHER_CARD),
    **_each("5150", "the bank wants the card picked up", _NO_REASON),
    **_each("5180", "invalid or restricted card", _OTHER_CARD),
    **_each("5170 5190", "the address does not match", _ADDRESS),
    **_each("5210", "invalid transaction", _NOT_FOR_THIS),
    **_each("5400", "the card has expired", _DATE),
    **_each("5650 7700 7710", "the payer must authenticate, or failed to", _AUTHENTICATE),
    **_each("5700", "not permitted for this card", _NOT_ALLOWED),
    **_each("5710", "more attempts than the network allows", _LIMIT),
    **_each("5900", "the transaction is not valid", _NOT_FOR_THIS),
    **_each("5910", "the issuing bank is not available, and does not want another try", _CALL),
    **_each("5920", "the issuing bank is not available", _UNREACHABLE),
    **_each("5930", "the card is not activated yet", _ISSUER["78"][1:]),
    **_each("5950", "a new card was issued", _DATA),
    **_each("6300", "the account is not on file", _NUMBER),
    **_each("7800", "the bank that the number stands for is not known (BIN)", _OTHER_CARD),
    **_each("8000 8100 8110 8220", "the processor could not be reached", _UNREACHABLE),
    **_each("9100", "declined: please retry", _TEMPORARY),
    **_each("9500", "suspected fraud", _NO_REASON),
    **_each("9510", "security violation", _NO_REASON),
    **_each("9520", "lost or stolen card", _NO_REASON),
    **_each("9530", "the bank holds it: to be called", _CALL),
    **_each("9540", "refused card", _OTHER_CARD),
    **_each("PP06", "the account is closed", _OTHER_CARD),
    **_each("PPAB", "the account is blocked by the issuer", _OTHER_CARD),
    **_each("PPAD PPAV", "the address does not match", _ADDRESS),
    **_each("PPAX", "over the card's limit of amount", _LIMIT),
    **_each("PPCT", "such cards are not taken", _BRAND),
    **_each("PPEF PPEX", "the card has expired, or its date is wrong", _DATE),
    **_each("PPEL PPNL", "over the limit of payments", _LIMIT),
    **_each("PPFR", "restricted card", _NO_REASON),
    **_each("PPNT PPER", "an error at PayPal or on the way to the bank", _UNREACHABLE),
    **_each("PPRN", "the network permits no further attempt", _OTHER_CARD),
    # details.issue
    **_each(
        "CARD_EXPIRED INVALID_EXPIRY_DATE REFERENCED_CARD_EXPIRED", "the card has expired, or its date is wrong", _DATE
    ),
    **_each("INVALID_SECURITY_CODE_LENGTH", "the security code has a wrong length", _CODE),
    **_each(
        "PAYMENT_SOURCE_CANNOT_BE_USED PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED", "the card's data does not do", _DATA
    ),
    **_each("BILLING_ADDRESS_INVALID", "the billing address is not valid", _ADDRESS),
    **_each("CARD_BRAND_NOT_SUPPORTED", "such cards are not taken", _BRAND),
    **_each("DOMESTIC_TRANSACTION_REQUIRED", "the card pays at home only", _NOT_ALLOWED),
    **_each("MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", "too many attempts", _CONFIRM),
    **_each("PAYER_ACTION_REQUIRED", "the payer must authenticate", _AUTHENTICATE),
    **_each("REDIRECT_PAYER_FOR_ALTERNATE_FUNDING", "the payer must choose another way to pay", _CONFIRM),
    **_each(
        "PAYER_ACCOUNT_LOCKED_OR_CLOSED PAYER_ACCOUNT_RESTRICTED",
        "the payer's account is closed or restricted",
        _OTHER_CARD,
    ),
    **_each("COMPLIANCE_VIOLATION", "refused for compliance", _NO_REASON),
    **_each("PAYEE_BLOCKED_TRANSACTION TRANSACTION_BLOCKED_BY_PAYEE", "refused by a rule of our account", _NO_REASON),
    **_each("PAYMENT_SOURCE_DECLINED_BY_PROCESSOR", "the processor declined the card", _OTHER_CARD),
    **_each("TRANSACTION_REFUSED PAYER_CANNOT_PAY", "refused without a reason", _GENERIC),
    **_each(
        "TRANSACTION_LIMIT_EXCEEDED TRANSACTION_RECEIVING_LIMIT_EXCEEDED", "above a limit for one transaction", _LIMIT
    ),
    **_each("INSTRUMENT_DECLINED", "the card was declined", _LATER),
}
_AUTHORIZENET: Final[dict[str, Told]] = {
    # response reason code; 2 stands for whatever the issuer said
    **_each("2", "declined: the bank's reason is not told", _GENERIC),
    **_each("3", "referral: the bank wants to be called", _CALL),
    **_each("4", "the bank wants the card picked up", _NO_REASON),
    **_each("6 37 315", "the card number is invalid", _NUMBER),
    **_each("7 316 201", "the card's date is invalid", _DATE),
    **_each("8 317", "the card has expired", _DATE),
    **_each("200", "the card number is invalid, says the processor", _NUMBER),
    **_each("27 127", "the address does not match", _ADDRESS),
    **_each("44 45 65 165", "the security code, or it and the address, do not match", _CODE),
    **_each("17 28", "our account does not take this card's brand", _BRAND),
    **_each("41 250 251 254", "refused by the fraud filters of our account, or after review", _NO_REASON),
    **_each("141 145", "refused by the fraud filters of our account", _NO_REASON),
    **_each("224", "a network error at the processor", _UNREACHABLE),
}

BY_CODE: Final[dict[str, dict[str, Told]]] = {
    "payflow": {**_ISSUER, **_PAYFLOW},
    "plugnpay": {**_ISSUER, **_PLUGNPAY},
    "stripe": {**_ISSUER, **_STRIPE},
    "paypal": _PAYPAL,
    "authorizenet": _AUTHORIZENET,
}
"""By gateway, then by the code that a decline is recorded with. A gateway without a table here tells by class."""


_RANKS: Final = {DeclineClass.NEW_DATA: 1, DeclineClass.OTHER_WAY: 2, DeclineClass.HARD: 3}


def told(gateway: str, code: str, decline: DeclineClass) -> Told:
    """What a decline with this code means and what to say.

    Where its class is harder than the code alone (an advice of the network or the gateway made it so), the advice is
    that of the class.
    """
    by_class = BY_CLASS[decline]
    by_code = BY_CODE.get(gateway, {}).get(code, by_class)
    if gateway == "payflow" and code == "12" and decline is DeclineClass.HARD:
        return _ISSUER[code]  # as HOSTCODE it is another one than as RESULT
    if _RANKS.get(decline, 0) > _RANKS.get(by_code.fits, 0):
        return by_class._replace(meaning=by_code.meaning)
    return by_code
