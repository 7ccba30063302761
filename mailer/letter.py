"""A mail, with a paper attached or without: its headers, its words, its file."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime


def letter(
    sender: str,
    to: str,
    subject: str,
    words: str,
    message_id: str,
    at: datetime,
    file_name: str = "",
    pdf: bytes = b"",
) -> EmailMessage:
    """The mail; the same `message_id` and `at` make one mail of it, however often it is sent. No `pdf`: no paper.

    Raises ValueError for a header that holds a line break.
    """
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(words)
    if pdf:
        message.add_attachment(pdf, maintype="application", subtype="pdf", filename=file_name)
    return message
