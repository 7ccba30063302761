"""The card number that no log, event or page may show."""

CARD = "4111111111111111"
